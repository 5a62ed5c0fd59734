"""Milliseconds of a training step for each preset, and the share of loading and views."""

import argparse
import tempfile
from pathlib import Path

import torch

from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.training.bench import measure


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--presets", nargs="+", default=["quick"])
    options.add_argument("--device", default="cpu")
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = options.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"train": 2_000, "val": 1, "test": 1}
        prepare(Request("multi-dsprites", sizes=sizes, data_dir=Path(folder)))
        for preset in asked.presets:
            device = torch.device(asked.device)
            for row in measure(preset, device, "multi-dsprites", Path(folder)):
                aside = row["loading_ms"] + row["views_ms"]
                share = aside / (row["step_ms"] + row["loading_ms"])
                print(
                    f"{preset} {row['objective']}: {row['step_ms']:.1f} ms a step of "
                    f"{row['batch_size']} images ({row['device']}); loading "
                    f"{row['loading_ms']:.2f} ms + views {row['views_ms']:.2f} ms = {share:.1%}"
                )


if __name__ == "__main__":
    main()
