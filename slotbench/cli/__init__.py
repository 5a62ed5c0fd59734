"""The command line. Commands import torch inside their functions."""

import io
import os
import re
import shlex
import signal
import sys
from contextlib import suppress
from typing import Annotated

import typer
from typer import Option

from slotbench import plugins, progress
from slotbench.cli import suite
from slotbench.cli.actions import app
from slotbench.errors import SlotbenchError, UserError, interrupted


def _version(wanted: bool) -> None:
    if wanted:
        from slotbench import __version__

        typer.echo(f"slotbench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, Option("--debug", help="Show tracebacks.")] = False,
    plugin: Annotated[
        list[str] | None,
        Option(
            metavar="FILE",
            help="Load this file's names first; may be given several times, "
            f"or in {plugins.VARIABLE} with {os.pathsep!r} between.",
        ),
    ] = None,
    version: Annotated[
        bool,
        Option("--version", is_eager=True, callback=_version, help="Print the version and leave."),
    ] = False,
) -> None:
    """Options of all commands; ``--debug`` and ``--plugin`` are read in :func:`main`."""
    del debug, plugin, version


app.add_typer(suite.app, name="suite")


def main() -> None:
    """Run a command: exit code 2 for a user's mistake, 1 for a failure, 130 after Ctrl-C."""
    _open_streams()
    if re.fullmatch("0*1?[0-9]", os.environ.get("COLUMNS", "")):
        # No text fits: Rich prints nothing at all for 0, which some editors and CI set.
        del os.environ["COLUMNS"]
        progress.errors.width = 80
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # for terminals in ASCII
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            # As after Ctrl-C, what is half written is removed. `nohup` has SIGHUP ignored.
            signal.signal(number, signal.default_int_handler)
    debug = "--debug" in sys.argv[1:]
    # `--debug` and `--plugin` may stand anywhere.
    arguments = [_expanded(word) for word in sys.argv[1:] if word != "--debug"]
    try:
        _check_words(arguments)
        arguments, files = plugins.take(arguments)
        progress.options[:] = [f"--plugin {shlex.quote(file)}" for file in files]
        plugins.load_all(files)
        app(args=arguments, prog_name="slotbench")
    except SystemExit as ended:
        if (fault := plugins.blamed(ended)) is None:
            sys.exit(_exit_code(ended))
        _fail(fault)
    except KeyboardInterrupt:
        sys.exit(130)
    except BaseException as error:  # a plugin may raise anything
        known = None if debug else _known(error)
        if known is None and interrupted(error):
            sys.exit(130)
        if known is None:
            raise
        _fail(known)


def _open_streams() -> None:
    """Open the streams that are closed, as by ``>&-``.

    The next file would get the number of one, and what a library writes to stderr would go there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _expanded(word: str) -> str:
    """A word with the home folder in ``--option=~/...``, which shells leave as it is."""
    option, equals, value = word.partition("=")
    return f"{option}={os.path.expanduser(value)}" if option[:2] == "--" and equals else word  # noqa: PTH111


def _check_words(words: list[str]) -> None:
    """:class:`UserError` where a word is empty: as a path it would be the folder that one is in."""
    for before, word in zip(["slotbench", *words], words, strict=False):
        told = "" if word else f"There is an empty word, after {before}."
        if re.fullmatch("--[a-z-]+=", word):
            told = f"{word}: nothing follows."
        if told:
            raise UserError(told, "Is a variable of your shell unset?")


def _exit_code(ended: SystemExit) -> int | str | None:
    """The exit code; 141, as after SIGPIPE, where the reader of stdout, such as ``head``, left."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout again at its end, and would report the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    # No command exits with 1 in here; Rich and Typer do for a broken pipe.
    return 141 if ended.code == 1 else ended.code


def _known(error: BaseException) -> SlotbenchError | None:
    """The error in the user's terms; None for a fault of slotbench's own."""
    from slotbench.files import explain

    if isinstance(error, SlotbenchError):
        return error
    if isinstance(error, MemoryError | RuntimeError) and "memory" in f"{error!r}".lower():
        advice = "Choose a smaller model or batch, such as --set train.batch_size=8"
        return SlotbenchError("There is not enough memory.", advice)
    if isinstance(error, RuntimeError) and "Symlink loop" in str(error):  # of Path.resolve
        return UserError(f"{error}.", "Check the path.")
    known = plugins.blamed(error)
    if known is None and isinstance(error, OSError):
        said = f"{type(error).__name__}: {error}"
        return explain(error) or SlotbenchError(said, "--debug shows the traceback.")
    return known


def _fail(error: SlotbenchError) -> None:
    from rich.text import Text

    from slotbench.progress import errors, plain, say

    said = Text("Error: ", "bold red"), Text(plain(error.message))
    with suppress(OSError):  # a full disk under stderr changes no exit code
        errors.print(*said, sep="", soft_wrap=True)
    if error.advice:
        say(error.advice)
    sys.exit(error.exit_code)
