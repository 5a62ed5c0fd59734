"""Plugins: files that add names to the registry without being installed.

A plugin is a Python file that calls :func:`slotbench.registry.register`, with targets
``f"{__name__}:Class"``. It is named by ``--plugin FILE``, or in the environment variable
``SLOTBENCH_PLUGINS`` (files with ``:`` between, as in PATH); the option is passed on through
the variable, so that every process a command starts knows the same names.
"""

import hashlib
import importlib.util
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from slotbench import registry
from slotbench.errors import UserError
from slotbench.registry import Entry

VARIABLE = "SLOTBENCH_PLUGINS"


@dataclass(frozen=True)
class Plugin:
    """A file that was loaded."""

    file: str
    """As an absolute path."""
    sha256: str
    names: tuple[str, ...]
    """What it registered, as ``kind/name``."""


_loaded: dict[str, Plugin] = {}


def loaded() -> list[dict[str, Any]]:
    """The plugins of this process, as ``environment.json`` stores them."""
    return [asdict(plugin) for plugin in _loaded.values()]


def take(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command's words without its ``--plugin FILE``s, and those files.

    :class:`UserError` where no file follows.
    """
    rest: list[str] = []
    files: list[str] = []
    queue = iter(words)
    for word in queue:
        if word == "--":
            return [*rest, word, *queue], files
        option, equals, file = word.partition("=")
        if option != "--plugin":
            rest.append(word)
            continue
        file = file if equals else next(queue, "")
        if not file or file.startswith("--"):
            raise UserError("--plugin: expected a file.", "For example: --plugin my_objective.py")
        files.append(file)
    return rest, files


def load_all(files: Sequence[str] = ()) -> None:
    """Load the files and those of the environment variable; one loaded already is passed over.

    :class:`UserError` as for :func:`load`.
    """
    named = [file for file in os.environ.get(VARIABLE, "").split(os.pathsep) if file]
    for file in named:
        load(file, VARIABLE)
    for file in files:
        load(file, "--plugin")
    if _loaded:
        os.environ[VARIABLE] = os.pathsep.join(_loaded)


def load(file: str, origin: str = "--plugin") -> Plugin:
    """Run a file that registers names; ``origin`` is what named it, for messages.

    :class:`UserError` where the file is missing, raises, registers a name that exists or
    nothing at all, or names a target that cannot be found.
    """
    path = Path(file).expanduser().resolve()
    if str(path) in _loaded:
        return _loaded[str(path)]
    label = f"{origin} {file}"
    if not path.is_file():
        raise UserError(f"{label}: there is no such file.", "Name a Python file that registers.")
    if path.suffix != ".py":
        raise UserError(f"{label}: expected a Python file, ending in .py.")
    # The registry's own names first: a plugin that repeats one is told so.
    before = {kind: registry.entries(kind) for kind in registry.KINDS}
    module = _module(path)
    sys.modules[module.__name__] = module
    try:
        source = path.read_bytes()
        exec(compile(source, str(path), "exec"), module.__dict__)
        new = _new(before, module, label)
    except BaseException as error:
        # A plugin is in whole or not at all.
        registry.restore(before)
        del sys.modules[module.__name__]
        if isinstance(error, UserError) or not isinstance(error, Exception | SystemExit):
            raise
        raise UserError(f"{label}: {_where(error, path)}.", "Mend the file.") from error
    names = tuple(f"{entry.kind}/{entry.name}" for entry in new)
    _loaded[str(path)] = Plugin(str(path), hashlib.sha256(source).hexdigest(), names)
    return _loaded[str(path)]


def _module(path: Path) -> ModuleType:
    # A name that no package has: a plugin may be called random.py.
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    module = ModuleType(f"slotbench_plugin_{path.stem}_{digest}")
    module.__file__ = str(path)
    return module


def _new(
    before: dict[registry.Kind, dict[str, Entry]], module: ModuleType, label: str
) -> list[Entry]:
    """What a plugin has registered; :class:`UserError` where it is nothing or of no use."""
    new = [
        entry
        for kind in registry.KINDS
        for name, entry in registry.entries(kind).items()
        if name not in before[kind]
    ]
    if not new:
        raise UserError(
            f"{label} registers nothing.",
            "Call slotbench.registry.register in it; CONTRIBUTING.md shows how.",
        )
    for entry in new:
        _check(entry, module, label)
    return new


def _check(entry: Entry, module: ModuleType, label: str) -> None:
    """Whether an entry's target is there, without importing more than has been imported."""
    name, _, attribute = entry.target.partition(":")
    if name == module.__name__:
        found = hasattr(module, attribute)
    else:
        try:
            found = bool(attribute) and importlib.util.find_spec(name) is not None
        except (ImportError, ValueError):
            found = False
    if not found:
        raise UserError(
            f"{label}: the target {entry.target!r} of {entry.name!r} cannot be found.",
            'For a class of the file itself, write f"{__name__}:CLASS".',
        )


def _where(error: BaseException, path: Path) -> str:
    """What went wrong, with the line of the plugin it went wrong at."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = error.lineno
    at = "" if line is None else f"line {line}: "
    return f"{at}{type(error).__name__}: {error}".rstrip(".")


@contextmanager
def hints(needed: Any) -> Iterator[None]:
    """Where a name is unknown in here, the error says which plugin to name.

    ``needed`` is what :func:`loaded` gave when the run was trained, or None where the run does
    not say.
    """
    try:
        yield
    except registry.UnknownName as error:
        files = [plugin["file"] for plugin in needed or [] if plugin["file"] not in _loaded]
        advice = "If it comes from a plugin, add: --plugin FILE. If from a package, install it."
        if files:
            options = " ".join(f"--plugin {shlex.quote(file)}" for file in files)
            advice = f"This run was trained with a plugin that is not loaded. Add: {options}"
        raise UserError(error.message, advice) from error
