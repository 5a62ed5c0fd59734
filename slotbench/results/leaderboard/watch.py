"""``slotbench leaderboard --watch``: the tables again whenever a run has ended."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from slotbench.errors import UserError
from slotbench.results.leaderboard.board import Board
from slotbench.results.leaderboard.terminal import to_text

LEAST_SECONDS, MOST_SECONDS = 0.2, 86_400.0


def watch(
    collect: Callable[[], Board],
    console: Console,
    *,
    every: float = 5.0,
    wide: bool = False,
    everything: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show the board that ``collect`` gives every ``every`` seconds, until Ctrl-C.

    On a terminal the page is replaced; elsewhere a page is printed only when it differs from
    the last one. A page is drawn whole before any of it is printed, and Ctrl-C ends it without an
    error at any moment. :class:`UserError` for an interval outside 0.2 s to a day; errors of
    ``collect`` are shown, and may pass.
    """
    if not LEAST_SECONDS <= every <= MOST_SECONDS:
        raise UserError(f"--every {every:g}: expected {LEAST_SECONDS} to {MOST_SECONDS:,.0f} s.")
    last = ""
    try:
        while True:
            try:
                board = collect()
                page = to_text(board, console, wide=wide, everything=everything)
                page += "".join(f"{line}\n" for line in board.running)
            except UserError as error:
                page = f"{error}\n"
            if page != last:
                if console.is_terminal:
                    console.clear()
                console.print(Text.from_ansi(page), soft_wrap=True)
                if console.is_terminal:
                    console.print(Text(f"Every {every:g} s; Ctrl-C ends.", style="dim"))
                last = page
            sleep(every)
    except KeyboardInterrupt:
        return
