"""Seconds that ``slotbench --help`` takes; asked: under 0.4 s on two cores."""

import statistics
import subprocess
import sys
import time

RUNS = 11


def main() -> None:
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "slotbench", "--help"], capture_output=True, check=True
        )
        times.append(time.perf_counter() - begun)
    print(f"slotbench --help: median {statistics.median(times):.3f} s of {RUNS} runs")


if __name__ == "__main__":
    main()
