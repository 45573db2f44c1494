"""One MLflow: finding runs and telling it their content. Only here and in database.py is mlflow used."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from leaderboard.mlflow.content import CELL, KEY, Content
from leaderboard.mlflow.database import open_client
from leaderboard.mlflow.sent import UNTOLD, Place, Run

if TYPE_CHECKING:
    import mlflow.entities

PARENT = "mlflow.parentRunId"
TRAINING = "training/"  # prefix of the metrics and tags that come from reports of what sets were made of
METRICS, PARAMS = 1000, 100  # most that MLflow takes in one batch; of tags as many as of parameters


class Sink:
    """The server or database at `uri`. `artifacts`: where experiments of a database keep their files."""

    def __init__(self, uri: str, artifacts: Path) -> None:
        self._client = open_client(uri, artifacts)
        remote = urlsplit(uri).scheme in {"http", "https"}
        self._artifacts = None if remote else artifacts.as_uri()
        self._experiments: dict[str, str] = {}  # suite -> id
        self._seen: dict[str, mlflow.entities.Run] = {}  # what `all_runs` found, until it is told something

    def experiment(self, suite: str) -> str:
        """The id of the suite's experiment, which is made when it is missing."""
        if suite not in self._experiments:
            found = self._client.get_experiment_by_name(suite)
            self._experiments[suite] = str(
                found.experiment_id
                if found is not None
                else self._client.create_experiment(suite, artifact_location=self._artifacts)
            )
        return self._experiments[suite]

    def knows(self, run_id: str) -> bool:
        """Whether it has a run: somebody may have put another database in the place of the old one."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

    def all_runs(self, suite: str) -> dict[Place, Run]:
        """Every run of replicates and cells in the suite's experiment, with nothing known of its figures."""
        found = {}
        for run in self._search(suite, ""):
            if name := run.data.tags.get(KEY) or run.data.tags.get(CELL):
                found[suite, name] = self._run(run)
                self._seen[run.info.run_id] = run
        return found

    def find(self, place: Place) -> Run | None:
        """The run of one replicate or cell, or None."""
        suite, key = place
        for name in (KEY, CELL):
            for run in self._search(suite, f"tags.`{name}` = '{key}'"):
                return self._run(run)
        return None

    def _search(self, suite: str, query: str) -> Iterator[mlflow.entities.Run]:
        token: str | None = None
        while True:
            batch = self._client.search_runs([self.experiment(suite)], query, max_results=1000, page_token=token)
            yield from batch
            token = batch.token
            if not token:
                return

    def _run(self, run: mlflow.entities.Run) -> Run:
        run_id = str(run.info.run_id)
        files = self._client.list_artifacts(run_id, "sets") if CELL in run.data.tags else []
        return Run(run_id, UNTOLD, {Path(file.path).name for file in files})

    def make(self, suite: str, content: Content, parent: str | None = None) -> Run:
        """A new run with this content."""
        tags = content.tags if parent is None else {**content.tags, PARENT: parent}
        experiment = self.experiment(suite)
        run = self._client.create_run(experiment, start_time=content.start, tags=tags, run_name=content.name)
        run_id = str(run.info.run_id)
        self._log(run_id, content.metrics, content.params, {})
        if content.status is not None:
            self._client.set_terminated(run_id, content.status, content.end)
        return Run(run_id, content.stamp)

    def change(self, run: Run, content: Content, parent: str | None = None) -> bool:
        """Give a run this content; whether it had other figures before. Parameters that it has cannot change."""
        there = self._seen.pop(run.id, None) or self._client.get_run(run.id)
        before = {
            name: value
            for name, value in there.data.metrics.items()
            if not name.startswith(TRAINING) and not math.isnan(value)
        }
        wanted = content.tags if parent is None else {**content.tags, PARENT: parent}
        tags = {name: value for name, value in wanted.items() if there.data.tags.get(name) != value}
        params = {name: value for name, value in content.params.items() if name not in there.data.params}
        gone = dict.fromkeys(before.keys() - content.metrics.keys(), math.nan)  # MLflow cannot take a metric back
        metrics = {name: value for name, value in content.metrics.items() if before.get(name) != value}
        if tags or params or gone or metrics:
            self._log(run.id, metrics | gone, params, tags)
        if content.status is None and there.info.status != "RUNNING":
            self._client.update_run(run.id, "RUNNING")
        elif content.status is not None and (there.info.status, there.info.end_time) != (content.status, content.end):
            self._client.set_terminated(run.id, content.status, content.end)
        run.stamp = content.stamp
        return bool(before and (metrics or gone or tags))

    def add_set(self, run: Run, path: Path, reports: Sequence[Mapping[str, Any]]) -> None:
        """Keep the readable copy of a set beside a cell's run; with the first one what its sets were made of."""
        if not run.files:  # sets of a cell share it
            for report in reports:
                self._report(run.id, report)
        self._client.log_artifact(run.id, str(path), "sets")
        run.files.add(path.name)

    def _report(self, run_id: str, report: Mapping[str, Any]) -> None:
        """Curves as metrics over their steps, facts as tags."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(_report_name(report, name), float(y), now, int(x))
            for name, points in report["curves"].items()
            for x, y in zip(points["x"], points["y"], strict=True)
        ]
        for place in range(0, len(metrics), METRICS):
            self._client.log_batch(run_id, metrics=metrics[place : place + METRICS])
        self._log(run_id, {}, {}, {_report_name(report, name): str(v)[:5000] for name, v in report["facts"].items()})

    def _log(self, run_id: str, metrics: dict[str, float], params: dict[str, str], tags: dict[str, str]) -> None:
        """In one batch where it fits."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        figures = [Metric(name, value, now, 0) for name, value in metrics.items()]
        lasting = [Param(name, value) for name, value in params.items()]
        labels = [RunTag(name, value) for name, value in tags.items()]
        for place in range(0, max(len(figures), len(lasting), len(labels)), PARAMS):
            part = slice(place, place + PARAMS)
            self._client.log_batch(run_id, metrics=figures[part], params=lasting[part], tags=labels[part])


def _report_name(report: Mapping[str, Any], name: str) -> str:
    """What MLflow allows in a name: a path of letters, digits and a few signs."""
    return f"{TRAINING}{report['kind']}/" + re.sub(r"[^\w.-]+", " ", name).strip(" .")[:150]
