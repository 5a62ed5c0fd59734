"""MLflow: the server that ``MLFLOW_TRACKING_URI`` names, else ``<results>/mlflow.db``."""

import logging
import os
import re
import time
from typing import Any
from urllib.parse import quote

from slotbench.registry import register
from slotbench.tracking.tracker import Tracked, Tracker, Values

STATES = {"done": "FINISHED", "interrupted": "KILLED"}
UNKNOWN = re.compile(r"[^\w\-./ :]")
"""Characters that MLflow refuses in the name of a metric."""
LIMIT, BATCH = 500, 100
"""Most characters of a parameter's value, and most parameters a request."""


@register("trackers")
class MLflow(Tracker):
    """One MLflow run in the experiment ``slotbench`` (or ``MLFLOW_EXPERIMENT_NAME``)."""

    name = "mlflow"
    summary = "an MLflow server, or a database in the results folder"
    source = "Zaharia et al. 2018, IEEE Data Eng. Bull. 41(4); mlflow"

    packages = ("mlflow", "sqlalchemy", "alembic")

    def __init__(self, run: Tracked) -> None:
        # They announce every table that they make.
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        # SQLAlchemy decodes the path; MLflow makes a folder of the encoded name of "sqlite:///".
        place = quote(str((run.results_dir / "mlflow.db").resolve()))
        database = f"sqlite+pysqlite:///{place}"
        self.client: Any = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", database))
        known = run.known("mlflow")
        if known is not None:
            self.id = known
            self.client.update_run(self.id, status="RUNNING")
            return
        made = self.client.create_run(
            self._experiment(run), run_name=run.name, tags={"group": run.group}
        )
        self.id = str(made.info.run_id)
        settings = [Param(key, str(value)[:LIMIT]) for key, value in run.settings.items()]
        for first in range(0, len(settings), BATCH):
            self.client.log_batch(self.id, params=settings[first : first + BATCH])
        run.remember("mlflow", self.id)

    def _experiment(self, run: Tracked) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "slotbench")
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        here = "MLFLOW_TRACKING_URI" not in os.environ
        place = (run.results_dir / "mlflow").resolve().as_uri() if here else None
        return str(self.client.create_experiment(name, artifact_location=place))

    def log(self, step: int, values: Values) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(
            self.id,
            metrics=[
                Metric(UNKNOWN.sub("_", name), value, now, step) for name, value in values.items()
            ],
        )

    def close(self, state: str) -> None:
        self.client.set_terminated(self.id, STATES.get(state, "FAILED"))
