"""Students on embeddings through the whole engine: a method's set, kept, lent to a worker's student, recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
from bench import runner
from bench.data.assets import Assets
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.store.predictions import Predictions
from bench.store.sets import load_set
from bench.testing import topic_task
from bench.testing.generator import build_tiny_generator
from bench.work.context import JobContext
from bench.work.lending import lend_set
from students.encoder import EncoderStudent
from students.in_context import InContextStudent
from students.params import EncoderParams, InContextParams
from tests.bench.conftest import records
from tests.learner_models import MakeContext

PLUGIN = Path(__file__).parent / "table_plugin.py"


def test_cells_at_embedding_level(
    tiny_encoder: Path, tmp_path: Path, context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What workers record is what the student answers here, on the same set with the same seed, alone."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    common: dict[str, Any] = {"model": str(tiny_encoder), "trainable_layers": 2}
    students = [{**common, "steps": 40, "learning_rate": 0.003}, {**common, "recipe": "learned-sgd"}]
    bench.run(
        tasks=["topics"],
        methods=[f"table[encoder={tiny_encoder},layer={layer}]" for layer in (1, 2)],
        students=[f"encoder[{','.join(f'{name}={value}' for name, value in each.items())}]" for each in students],
        dpc=3,
        sets=1,
        runs=1,
        plugins=[str(PLUGIN)],
        mlflow=False,
        jobs=1,
        out=str(tmp_path / "out"),
    )
    found = {
        (each["method"]["params"]["layer"], each["student"]["params"]["recipe"]): each
        for each in records(tmp_path / "out")
    }
    assert len(found) == 4
    for params in students:
        recipe = params.get("recipe", "standard")
        reason = found[1, recipe]["reason"]
        assert reason.endswith("this student reads that of layer 0 or 2: trainable_layers=3 fits")
        record = found[2, recipe]
        assert (record["status"], record["league"]) == ("ok", "C")
        folder = Artifacts(tmp_path / "cache").get("set", record["set_key"])
        assert folder is not None
        queries = topic_task().queries()
        ctx = context(record["seed"]["run"], queries)
        answer = EncoderStudent(EncoderParams(**params)).predict(lend_set(load_set(folder)), queries, ctx)
        assert len(set(answer.tolist())) > 1
        np.testing.assert_array_equal(Predictions(**record["predictions"]).labels(), answer)


@pytest.mark.parametrize("layers", [2, None])
def test_runs_together_are_recorded_as_alone(
    layers: int | None, tiny_encoder: Path, tmp_path: Path, context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: one worker's job of three runs, which the student trains at once."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(runner.TOGETHER, "cpu", 8)
    params: dict[str, Any] = {"model": str(tiny_encoder), "steps": 30, "learning_rate": 0.001, "batch": 8}
    params |= {} if layers is None else {"trainable_layers": layers}
    bench.run(
        tasks=["topics"],
        methods=["random"],
        students=[f"encoder[{','.join(f'{name}={value}' for name, value in params.items())}]"],
        dpc=3,
        sets=1,
        runs=3,
        plugins=[str(PLUGIN)],
        mlflow=False,
        jobs=1,
        out=str(tmp_path / "out"),
    )
    found = records(tmp_path / "out")
    assert [record["status"] for record in found] == ["ok"] * 3
    lines = (tmp_path / "out" / "results" / "records.jsonl").read_text().splitlines()
    assert len({json.loads(line)["time"]["student_s"] for line in lines}) == 1, "they share one training's seconds"
    student, queries, answers = EncoderStudent(EncoderParams(**params)), topic_task().queries(), []
    for record in found:
        folder = Artifacts(tmp_path / "cache").get("set", record["set_key"])
        assert folder is not None
        ctx = context(record["seed"]["run"], queries)
        answers.append(student.predict(lend_set(load_set(folder)), queries, ctx))
        differ = Predictions(**record["predictions"]).labels() != answers[-1]
        assert differ.sum() <= 1, "a near tie may flip"
    assert len({answer.tobytes() for answer in answers}) == 3


def test_demonstrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In-context cells through workers: league D, the empty set and who cannot do with it, train rows for the prior."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    model = build_tiny_generator(tmp_path / "lm", architecture="llama", positions=1024)
    students = [InContextParams(model=str(model), scoring="whole", calibration=each) for each in ("none", "batch")]
    bench.run(
        tasks=["topics"],
        methods=["random", "shuffled-labels", "zero-shot"],
        students=[f"icl[model={model},scoring=whole,calibration={each.calibration}]" for each in students] + ["probe"],
        dpc=2,
        sets=1,
        plugins=[str(PLUGIN)],
        mlflow=False,
        jobs=1,
        out=str(tmp_path / "out"),
    )
    found = {
        (each["method"]["name"], each["student"]["params"].get("calibration")): each
        for each in records(tmp_path / "out")
    }
    assert len(found) == 9
    assert found["zero-shot", None]["reason"] == "the set is empty"
    data = topic_task()
    for method in ("random", "shuffled-labels", "zero-shot"):
        for params in students:
            record = found[method, params.calibration]
            assert (record["status"], record["league"]) == ("ok", "D"), record["reason"]
            assert record["n_train"] == (0 if method == "zero-shot" else 2 * data.info.n_classes)
            folder = Artifacts(tmp_path / "cache").get("set", record["set_key"])
            assert folder is not None
            settings = Settings.make(cache=tmp_path / "cache", offline=True)
            ctx = JobContext(
                Assets({}, settings),
                Artifacts(settings.cache),
                seed=record["seed"]["run"],
                data=data.queries(),
                unlabelled=data.train.texts,
            )
            answer = InContextStudent(params).predict(lend_set(load_set(folder)), data.queries(), ctx)
            np.testing.assert_array_equal(Predictions(**record["predictions"]).labels(), answer)
