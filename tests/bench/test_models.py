"""Which models stand behind a replicate: by the content of their weights, whatever names or paths say."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import Asset, Embeddings
from bench.data import install
from bench.data.assets import Assets
from bench.models import encoder_of
from bench.settings import Settings
from bench.store.line import parse_record
from leaderboard.box import box
from tests.bench.conftest import records
from tests.conftest import Bench

WHEEL = Asset(name="mine", summary="", content="model", licence="", size_mb=1, wheel="w", version="1", sha256="0" * 64)

PLUGIN = """
from typing import Annotated
import numpy as np
from bench.api import (
    AssetRef, DistilledSet, Method, MethodSpec, Params, Part, Split, Student, StudentSpec, Task, TaskData, TaskInfo,
    TaskSpec, hookimpl,
)

class Tiny(Task):
    def load(self, ctx):
        split = Split({"text": [f"word {i}" for i in range(8)]}, np.arange(8) % 2)
        return TaskData(TaskInfo("tiny", ("text",), ("a", "b")), split, split, split)

class Needs(Params):
    encoder: Annotated[str, AssetRef()] = ""
    learner: Annotated[str, AssetRef()] = ""

class First(Method):
    def distill(self, data, dpc, ctx):
        for part in parts(self.params, dpc, 0):
            ctx.part(part)
        return DistilledSet.from_rows(data, np.arange(2))

def parts(params, dpc, seed):
    if not params.learner:
        return []
    return [Part(kind="glance", fields={"learner": params.learner}, make=f"{__name__}:make", assets=("learner",))]

def make(parts, data, ctx):
    for part in parts:
        kind, fields, code = ctx.address(part)
        ctx.artifact(kind, fields, lambda to: (to / "size").write_text(str(ctx.asset(part.fields["learner"]))), code)
    return {}

class Model(Params):
    model: Annotated[str, AssetRef()] = ""
    other: Annotated[str, AssetRef()] = ""

class Even(Student):
    def predict(self, distilled, queries, ctx):
        return np.arange(len(queries)) % 2

@hookimpl
def bench_tasks():
    return [TaskSpec(name="tiny", summary="T.", target=f"{__name__}:Tiny")]

@hookimpl
def bench_methods():
    return [MethodSpec(name="first", summary="F.", target=f"{__name__}:First", params=Needs, parts=parts)]

@hookimpl
def bench_students():
    return [StudentSpec(name="even", summary="E.", target=f"{__name__}:Even", params=Model)]
"""


def model(folder: Path, weights: str, **files: str) -> Path:
    """A folder with weights and other files."""
    folder.mkdir(parents=True)
    for name, text in ({"model.safetensors": weights, "config.json": "{}"} | files).items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    """With a registered model in the cache."""
    found = Assets({"mine": WHEEL}, Settings.make(tmp_path / "cache", None, True, ()))
    install.install(found._folder(WHEEL), lambda part: (part / "model.safetensors").write_text("W") and None)
    return found


def test_a_model_is_known_by_its_weights(assets: Assets, tmp_path: Path) -> None:
    copy = model(tmp_path / "copy", "W", tokenizer="another file")
    other = model(tmp_path / "mine", "V")
    content = assets.content("mine")
    assert content is not None
    assert assets.identity("mine") != assets.identity(str(copy)), "the keys tell them apart"
    assert assets.content(str(copy)) == assets.content(str(copy / "model.safetensors")) == content
    assert set(assets.content(str(other)) or ()).isdisjoint(content), "same name, same other files"
    assert assets.content(str(tmp_path / "gone")) is None
    shutil.rmtree(assets._folder(WHEEL))
    assert Assets(assets.registered, assets.settings).content("mine") is None


def test_what_has_no_known_weights_is_known_by_all_its_files(assets: Assets, tmp_path: Path) -> None:
    (one, other) = (tmp_path / name for name in ("one", "other"))
    for folder, vectors in ((one, "1 2"), (other, "3 4")):
        folder.mkdir()
        (folder / "vectors.txt").write_text(vectors)
        (folder / "README").write_text("the same")
    found = [assets.content(str(folder)) or () for folder in (one, other)]
    assert [len(each) for each in found] == [1, 1]
    assert found[0] != found[1]


def embeddings(encoder: str, identity: Any) -> Embeddings:
    numbers = np.ones((1, 1, 2), np.float32)
    return Embeddings(numbers, np.ones((1, 1), np.int64), numbers[0], encoder, encoder_identity=identity)


def test_the_encoder_of_a_set_is_told_by_its_identity_and_not_by_its_name(assets: Assets, tmp_path: Path) -> None:
    content, path = assets.content("mine"), str(model(tmp_path / "copy", "W"))
    assert encoder_of(None, assets, [path]) == {}
    assert encoder_of(embeddings("mine", None), assets, []) == {"mine": content}
    assert encoder_of(embeddings("mine", assets.identity("mine")), assets, []) == {"mine": content}
    elsewhere = {"files": {"model.safetensors": "f" * 64}}
    assert encoder_of(embeddings("mine", elsewhere), assets, ["mine"]) == {"mine": ("f" * 64,)}, "another machine's"
    assert encoder_of(embeddings("/there/copy", assets.identity(path)), assets, [])["/there/copy"] == content
    assert encoder_of(embeddings("theirs", assets.identity("mine")), assets, ["mine"]) == {"theirs": content}
    unknown = {"hub": "a/b", "revision": "c" * 40, "config": ""}
    assert encoder_of(embeddings("mine", unknown), assets, ["mine"]) == {"mine": None}
    assert encoder_of(embeddings("hub:a/b", unknown), assets, ["mine"]) == {"hub:a/b": None}, "no socket is opened"
    assert encoder_of(embeddings("mine", {"files": ["x"]}), assets, ["mine"]) == {"mine": None}


def boxes(out: Path) -> dict[tuple[str, str], str | None]:
    """(method, student) -> box of the records of a run."""
    lines = (out / "results" / "records.jsonl").read_bytes().splitlines()
    return {(one.method.label, one.student.label): box(one) for one in map(parse_record, lines)}


def test_records_of_a_run_tell_white_boxes_from_black_ones(bench: Bench) -> None:
    """One model under two paths; a part's model; two models of a student; no model at all; sets made elsewhere."""
    for name, weights in (("a", "A"), ("copy", "A"), ("b", "B")):
        model(bench.folder / name, weights, **({} if name == "a" else {"more.json": name}))
    (bench.folder / "plugin.py").write_text(PLUGIN)
    students = ["even", "even[model=./copy]", "even[model=./b,other=./copy]"]
    methods = ["first", "first[encoder=./a]", "first[encoder=./b,learner=./a]", "first[encoder=./b]"]
    shared = ("--tasks", "tiny", "--students", ",".join(students), "--plugin", "plugin.py", "--no-mlflow")
    size = ("--dpc", "1", "--sets", "1", "--runs", "1", "--jobs", "1")
    bench("run", *shared, *size, "--methods", ",".join(methods))
    found = boxes(bench.folder / "bench-out")
    wanted = [
        ["none", "none", "none"],
        ["black", "white", "white"],
        ["black", "white", "white"],
        ["black", "black", "white"],
    ]
    assert found == {(m, s): wanted[i][j] for i, m in enumerate(methods) for j, s in enumerate(students)}
    noted = next(r["models"] for r in records(bench.folder / "bench-out") if r["method"]["label"] == methods[2])
    assert sorted(noted["method"]) == ["./a", "./b"]
    bench("export", "bench-out", "--to", "sets", "--method", methods[1])
    bench("score", "sets", "--name", "elsewhere", *shared, "--runs", "1", "--out", "imported")
    assert boxes(bench.folder / "imported") == {("elsewhere", student): None for student in students}
