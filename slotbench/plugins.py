"""Plugins: files that add names to the registry without being installed.

A plugin is a Python file that calls :func:`slotbench.registry.register`. ``--plugin FILE`` names
it, or the environment variable ``SLOTBENCH_PLUGINS`` (files with ``:`` between, as in PATH). The
processes that a command starts inherit the variable.
"""

import hashlib
import os
import shlex
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from slotbench import registry
from slotbench.errors import UserError
from slotbench.files import no_file

VARIABLE = "SLOTBENCH_PLUGINS"


@dataclass(frozen=True)
class Plugin:
    """A loaded file: its absolute path, its hash, and what it registered, as ``kind/name``."""

    file: str
    sha256: str
    names: tuple[str, ...]


_loaded: dict[str, Plugin] = {}


def loaded() -> list[dict[str, Any]]:
    """The plugins of this process, as ``environment.json`` stores them."""
    return [asdict(plugin) for plugin in _loaded.values()]


def take(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command's other words, and the files of its ``--plugin FILE``s.

    :class:`UserError` where no file follows the option.
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
    """Load these files and those of the environment variable; errors as for :func:`load`."""
    for file in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        load(file, VARIABLE)
    for file in files:
        load(file, "--plugin")
    if _loaded:
        os.environ[VARIABLE] = os.pathsep.join(_loaded)


def load(file: str, origin: str = "--plugin") -> Plugin:
    """Run a file that registers names, once; ``origin`` is the option that named it.

    :class:`UserError` where the file is missing, raises, registers a name that exists, or
    registers nothing.
    """
    path = Path(file).expanduser().resolve()
    if str(path) in _loaded:
        return _loaded[str(path)]
    label = f"{origin} {file}"
    if fault := no_file(path):
        raise UserError(f"{label}: {fault}.", "Name a Python file that registers.")
    if path.suffix != ".py":
        raise UserError(f"{label}: expected a Python file, ending in .py.")
    if os.pathsep in str(path):
        said = f"{label}: its path has a {os.pathsep!r}, which stands between files."
        raise UserError(said, "Rename it.")
    # This loads slotbench's own names, so that a plugin cannot take one of them.
    before = {kind: registry.entries(kind) for kind in registry.KINDS}
    # A name that no package has: a plugin may be called random.py.
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    module = ModuleType(f"slotbench_plugin_{path.stem}_{digest}")
    module.__file__ = str(path)
    module.__dict__["print"] = _print
    sys.modules[module.__name__] = module
    try:
        source = path.read_bytes()
        exec(compile(source, str(path), "exec"), module.__dict__)
        new = [
            entry
            for kind in registry.KINDS
            for entry in registry.entries(kind).values()
            if entry.name not in before[kind]
        ]
        for entry in new:
            registry.complete(entry, module.__name__)
        if not new:
            advice = "Put @register(KIND) above a class; docs/own.md shows how."
            raise UserError("it registers nothing.", advice)
    except BaseException as error:
        # A plugin is loaded whole or not at all.
        registry.restore(before)
        del sys.modules[module.__name__]
        if isinstance(error, UserError):
            raise UserError(f"{label}: {error.message}", error.advice) from error
        if isinstance(error, KeyboardInterrupt):
            raise
        raise UserError(f"{label}: {_where(error, path)}.", "Mend the file.") from error
    names = tuple(f"{entry.kind}/{entry.name}" for entry in new)
    _loaded[str(path)] = Plugin(str(path), hashlib.sha256(source).hexdigest(), names)
    return _loaded[str(path)]


def _print(*values: Any, **options: Any) -> None:
    """A plugin's ``print``: to stderr, because stdout holds results alone."""
    print(*values, **{"file": sys.stderr, **options})


def blamed(error: BaseException) -> UserError | None:
    """The error with a plugin's file and line; None where no plugin's code took part."""
    if isinstance(error, KeyboardInterrupt):
        return None
    for frame in traceback.extract_tb(error.__traceback__)[::-1]:
        if frame.filename in _loaded:
            said = f"{type(error).__name__}: {error}".rstrip(".")
            advice = "Mend the plugin; --debug shows the traceback."
            return UserError(f"{frame.filename}, line {frame.lineno}: {said}.", advice)
    return None


def _where(error: BaseException, path: Path) -> str:
    """The error with the line of the plugin that it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    line = next((each.lineno for each in frames[::-1] if each.filename == str(path)), None)
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = error.lineno
    at = "" if line is None else f"line {line}: "
    return f"{at}{type(error).__name__}: {error}".rstrip(".")


@contextmanager
def hints(needed: Iterable[str] = ()) -> Iterator[None]:
    """Make the error of an unknown name say which plugin to load.

    ``needed`` are the files that were loaded when the run was trained.
    """
    try:
        yield
    except registry.UnknownName as error:
        files = [file for file in needed if file not in _loaded]
        advice = "If it comes from a plugin, add: --plugin FILE. If from a package, install it."
        if files:
            options = " ".join(f"--plugin {shlex.quote(file)}" for file in files)
            advice = f"This run was trained with a plugin that is not loaded. Add: {options}"
            if gone := [file for file in files if not Path(file).is_file()]:
                advice += f"\nName it where it is now: there is no {gone[0]} any more."
        raise UserError(error.message, advice) from error
