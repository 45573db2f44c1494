"""Result folders with an empty database of MLflow, and what is found in it afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from bench.store.record import Record
from bench.store.results import ResultStore
from leaderboard.mlflow.database import default_uri
from leaderboard.mlflow.sink import Sink
from tests.leaderboard.conftest import write_results

Prepared = Callable[[Iterable[Record]], ResultStore]


class Seen:
    """What MLflow's own client finds in a store."""

    def __init__(self, uri: str, experiment: str = "pocket") -> None:
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=uri)
        runs = self.runs(uri, experiment)
        self.parents = {run.info.run_name: run for run in runs if "mlflow.parentRunId" not in run.data.tags}
        self.children = {run.data.tags["bench.key"]: run for run in runs if "mlflow.parentRunId" in run.data.tags}
        assert len(self.parents) + len(self.children) == len(runs), "no two runs of one name or key"

    @staticmethod
    def runs(uri: str, experiment: str) -> list[Any]:
        """All of an experiment."""
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(experiment)
        assert found is not None
        return list(client.search_runs([found.experiment_id], max_results=1000))


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of MLflow: making one takes two seconds."""
    folder = tmp_path_factory.mktemp("empty")
    Sink(default_uri(folder), folder / "mlartifacts")
    return folder / "mlflow.db"


@pytest.fixture
def prepared(tmp_path: Path, database: Path) -> Prepared:
    def make(records: Iterable[Record]) -> ResultStore:
        store = write_results(tmp_path / "out", records)
        shutil.copy(database, store.out / "mlflow.db")
        return store

    return make
