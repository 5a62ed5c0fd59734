"""TensorBoard: event files in the run's directory; ``tensorboard --logdir results/runs``."""

from slotbench.registry import register
from slotbench.tracking.tracker import Tracked, Tracker, Values


@register("trackers")
class TensorBoard(Tracker):
    """Scalars, and the settings as a table; a resumed run replaces later scalars."""

    name = "tensorboard"
    summary = "event files in the run's directory"
    source = "TensorFlow; tensorboard"

    packages = ("tensorboard",)

    def __init__(self, run: Tracked) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder, again = run.path / "tensorboard", run.known("tensorboard") is not None
        self.writer = SummaryWriter(str(folder), purge_step=run.step + 1 if again else None)
        if not again:
            rows = [f"| {key} | {value} |" for key, value in run.settings.items()]
            table = "\n".join(["| setting | value |", "|---|---|", *rows])
            self.writer.add_text("settings", table)
            run.remember("tensorboard", folder.name)

    def log(self, step: int, values: Values) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self, state: str) -> None:
        del state
        self.writer.close()
