"""What issue 15 asks of speed, in one table: the end of ``make bench``.

``python -m benchmarks.goals`` runs each benchmark that has a goal and prints what was measured
beside it. A benchmark gives its goals with a function ``goals() -> list[Goal]``.
"""

import argparse
import importlib
from dataclasses import dataclass

import torch

MODULES = ("published", "render_rate", "speedrun", "evaluation", "leaderboard_scale")


@dataclass(frozen=True)
class Goal:
    """A number that was measured, and what it should be at least or at most."""

    what: str
    measured: float | None
    """None: it cannot be measured on this machine."""
    wanted: float
    at_least: bool = False

    @property
    def met(self) -> str:
        """``met``, ``not met`` or ``not measured``."""
        if self.measured is None:
            return "not measured"
        reached = self.measured >= self.wanted if self.at_least else self.measured <= self.wanted
        return "met" if reached else "not met"

    def line(self) -> str:
        """A row of the table."""
        found = "-" if self.measured is None else f"{self.measured:.2f}"
        sign = ">=" if self.at_least else "<="
        return f"{self.what:62}{found:>10}{sign:>5} {self.wanted:<8g}{self.met}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=MODULES)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    if unknown := set(asked.modules) - set(MODULES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(MODULES)}")
    torch.set_num_threads(asked.threads)
    found: list[Goal] = []
    for name in asked.modules:
        found += importlib.import_module(f"benchmarks.{name}").goals()
    for goal in found:
        print(goal.line())


if __name__ == "__main__":
    main()
