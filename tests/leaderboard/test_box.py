"""White box, black box, no model, not known: by content where it was noted, by names only where they are sure."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import plugins
from bench.api import asset_fields
from bench.data.assets import Assets
from bench.settings import Settings
from bench.store.identity import canonical
from bench.store.record import Content, Models, Record
from bench.store.results import ResultStore
from leaderboard.board import build
from leaderboard.box import ASSETS, METHODS, STUDENTS, box, box_of
from leaderboard.frame import records_frame
from leaderboard.text import csv_text, markdown
from tests.leaderboard.conftest import write_results
from tests.leaderboard.records import cell, plugin, record, student

ROOT = Path(__file__).parents[2] / "leaderboard" / "results"
RESULTS = sorted(path.parents[1] for path in ROOT.glob("*/results/records.jsonl"))
A, B = ("a" * 64,), ("b" * 64,)
GEN = {"encoder": "bert-base", "learner": "minilm", "generator": "gpt2", "finetune": True}


def noted(
    method: dict[str, Content] | None,
    student: dict[str, Content],
    encoder: dict[str, Content] | None = None,
    **more: Any,
) -> Record:
    return record(0.5, models=Models(method=method, encoder=encoder or {}, student=student), **more)


@pytest.mark.parametrize(
    ("method", "student", "encoder", "wanted"),
    [
        ({"minilm": A}, {"./copy of it": A}, {}, "white"),
        ({"./a": A, "gpt2": B}, {"bert-base": (*B, *A)}, {}, "white"),
        ({"minilm": A}, {"bert-base": B}, {}, "black"),
        ({"minilm": A}, {}, {}, "black"),
        ({}, {"minilm": A}, {}, "none"),
        ({}, {}, {}, "none"),
        ({"minilm": None}, {"minilm": A}, {}, "white"),
        ({"minilm": None}, {"bert-base": A}, {}, None),
        ({"minilm": None, "gpt2": A}, {"bert-base": A}, {}, "white"),
        (None, {"minilm": A}, {}, None),
        (None, {"minilm": A}, {"theirs": A}, "white"),
        (None, {"minilm": A}, {"minilm": B}, None),
        ({}, {"minilm": A}, {"minilm": B}, "black"),
        ({}, {"minilm": A}, {"minilm": None}, None),
    ],
)
def test_contents_decide_and_names_do_not(
    method: dict[str, Content] | None, student: dict[str, Content], encoder: dict[str, Content], wanted: str | None
) -> None:
    assert box(noted(method, student, encoder)) == wanted


def test_who_reads_vectors_has_their_encoder() -> None:
    assert box(noted(None, {"minilm": A}, {"minilm": None}, league="C")) == "white"
    assert box(record(0.5, method=plugin("elsewhere", files=["a"]), league="C")) == "white", "also of an old record"


@pytest.mark.parametrize(
    ("method", "student", "wanted"),
    [
        (plugin("kcenters", encoder="minilm"), student("minilm", model="minilm"), "white"),
        (plugin("kcenters", encoder="minilm"), student("probe", encoder="minilm"), "white"),
        (plugin("kcenters", encoder="minilm"), student("minilm", model="bert-base"), "black"),
        (plugin("kcenters", encoder="./e"), student("encoder", model="./e"), "white"),
        (plugin("kcenters", encoder="./e"), student("minilm", model="minilm"), None),
        (plugin("kcenters", encoder="minilm"), student("encoder", model="hub:a/minilm"), None),
        (plugin("el2n", learner="minilm"), student("minilm", model="minilm"), "white"),
        (plugin("gen-distill", **GEN), student("minilm", model="minilm"), "white"),
        (plugin("gen-distill", **GEN), student("bert-base", model="bert-base"), "white"),
        (plugin("gen-distill", **GEN | {"finetune": False}), student("minilm", model="minilm"), "black"),
        (plugin("gen-distill", **GEN | {"generator": "scratch"}), student("probe", encoder="roberta-base"), "black"),
        (plugin("random"), student("minilm", model="minilm"), "none"),
        (plugin("random"), student("theirs", model="what"), "none"),
        (plugin("random", files=["a.jsonl"]), student("minilm", model="minilm"), None),
        (plugin("el2n", files=["a.jsonl"]), student("minilm", model="minilm"), None),
        (plugin("theirs", encoder="minilm"), student("minilm", model="minilm"), None),
        (plugin("kcenters", encoder="minilm"), student("theirs", model="minilm"), None),
        (plugin("kcenters"), student("minilm", model="minilm"), None),
    ],
)
def test_old_records_say_it_where_names_are_sure(method: Any, student: Any, wanted: str | None) -> None:
    assert box(replace(record(0.5, method=method), student=student)) == wanted


def test_what_a_record_notes_goes_before_its_names() -> None:
    named = replace(record(0.5, method=plugin("kcenters", encoder="minilm")), student=student("minilm", model="minilm"))
    models = Models(method={"minilm": A}, encoder={}, student={"bert-base": B})
    assert (box(named), box(replace(named, models=models))) == ("white", "black")


def test_a_cell_of_old_and_new_records_has_one_box() -> None:
    old, black, white = record(0.5, method=plugin("theirs")), noted({"m": A}, {"s": B}), noted({"m": A}, {"s": A})
    unread = noted({"m": None}, {"s": B})
    assert box_of([old, black, old, unread]) == box_of([black]) == "black"
    assert box_of([old, unread]) is None
    assert box_of([black, white]) is None, "they contradict each other"
    assert box_of([]) is None
    elsewhere = noted(None, {"s": A}, {"e": A})
    assert box_of([elsewhere]) == "white"
    assert box_of([elsewhere, noted(None, {"s": A})]) is None, "of another set of the same name nothing is known"


def test_the_names_that_are_sure_are_those_of_the_plugins(tmp_path: Path) -> None:
    registry = plugins.load(Settings.make(tmp_path, None, True, ()))
    for specs, known in ((registry.specs("method"), METHODS), (registry.specs("student"), STUDENTS)):
        assert known.keys() <= specs.keys()
        for name, fields in known.items():
            assert set(asset_fields(specs[name].params)) == set(fields), name
    assets = Assets(registry.assets, Settings.make(tmp_path, None, True, ()))
    assert len({canonical(assets.identity(name)) for name in ASSETS}) == len(ASSETS)
    assert {registry.assets[name].content for name in ASSETS} == {"model"}


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_kept_results_have_the_boxes_that_their_plugins_declare(folder: Path, tmp_path: Path) -> None:
    """An independent way: the assets that today's specs give for the parameters of each record."""
    registry = plugins.load(Settings.make(tmp_path, None, True, ()))

    def assets(kind: str, one: Any) -> set[str]:
        spec = registry.specs(kind)[one.name]
        return set(spec.assets(spec.params.model_validate(one.params)))

    for one in ResultStore(folder).records():
        if one.models is None:
            method, mine = assets("method", one.method), assets("student", one.student)
            assert box(one) == ("none" if not method else "white" if method & mine else "black"), one.key


def test_a_table_shows_boxes_where_they_tell_rows_apart(tmp_path: Path) -> None:
    def of(method: str, content: Content, **fields: Any) -> list[Record]:
        models = Models(method={"m": content} if content else {}, encoder={}, student={"s": A})
        return [replace(one, models=models) for one in cell(method, **fields)]

    mixed = [*of("kcenters", A), *of("herding", B), *of("random", None)]
    text = markdown(build(mixed))
    heads = next(line for line in text.splitlines() if line.startswith("|   dpc"))
    place = [head.strip() for head in heads.split("|")].index("box")
    rows = [[part.strip() for part in line.split("|")] for line in text.splitlines() if line.startswith("|     5")]
    assert {row[2]: row[place] for row in rows} == {"kcenters": "white", "herding": "black", "random": "none"}
    assert text.count("- box: white, the set was made with") == 1
    found = csv.DictReader(io.StringIO(csv_text(build(mixed))))
    assert {row["method"]: row["box"] for row in found} == {"kcenters": "white", "herding": "black", "random": "none"}
    alike = markdown(build([*of("kcenters", A), *of("herding", A)]))
    assert ("| box" in alike.replace(" ", ""), alike.count("All rows of league A here are white boxes.")) == (False, 1)
    unknown = markdown(build([*cell("kcenters"), *of("random", None)]))
    assert "box" not in unknown.replace("boxes", "")
    frame = records_frame(write_results(tmp_path, mixed))
    assert set(zip(frame["method"], frame["box"], strict=True)) == {
        ("kcenters", "white"),
        ("herding", "black"),
        ("random", "none"),
    }
