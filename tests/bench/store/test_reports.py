"""Reports of artifacts: what is read is whole, what no board could show is refused in one line and never kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.data.assets import Assets
from bench.errors import PluginError
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.store.reports import load_report
from bench.work.context import JobContext

GOOD: dict[str, Any] = {
    "title": "a model",
    "facts": {"n": 3, "rate": 0.5, "ok": True, "name": "x"},
    "curves": {"loss": {"x": [1, 2], "y": [0.5, 0.25]}},
    "curve_labels": {"loss": ["step", "nats"]},
    "texts": {"samples": ["one", "two"]},
}


def write(folder: Path, content: Any) -> None:
    (folder / "report.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_a_report_comes_back_with_all_its_parts(tmp_path: Path) -> None:
    assert load_report(tmp_path, "model") is None
    write(tmp_path, GOOD)
    assert load_report(tmp_path, "model") == GOOD
    write(tmp_path, {"title": "a model"})
    assert load_report(tmp_path, "model") == {"title": "a model"} | {name: {} for name in GOOD if name != "title"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"title": "a', "Invalid JSON"),
        ("[]", "object"),
        ({}, "title: Field required"),
        (GOOD | {"figures": {}}, "figures: Extra inputs"),
        (GOOD | {"facts": {"n": None}}, "facts.n"),
        (GOOD | {"facts": {"n": [1]}}, "facts.n"),
        (GOOD | {"curves": {"loss": {"x": [1], "y": [float("nan")]}}}, "curves.loss.y.0: Input should be a finite"),
        (GOOD | {"curves": {"loss": {"x": [1, 2], "y": [0.5]}}}, "the curve 'loss' needs as many y as x"),
        (GOOD | {"curves": {"loss": {"x": [2, 1], "y": [0.5, 0.25]}}}, "x in ascending order"),
        (GOOD | {"curve_labels": {"loss": ["step"]}}, "curve_labels.loss"),
        (GOOD | {"texts": {"samples": "one"}}, "texts.samples"),
    ],
)
def test_a_report_that_no_board_could_show_is_not_kept(tmp_path: Path, content: Any, said: str) -> None:
    settings = Settings.make(cache=tmp_path, offline=True)
    ctx = JobContext(Assets({}, settings), Artifacts(tmp_path))
    with pytest.raises(PluginError) as caught:
        ctx.artifact("model", {"a": 1}, lambda folder: write(folder, content))
    assert said in str(caught.value)
    assert str(caught.value).startswith("report.json of the artifact 'model': ")
    assert "\n" not in str(caught.value)
    assert ctx.find("model", {"a": 1}) is None
    assert ctx.reports == {}


def test_a_context_notes_the_reports_that_its_job_has_used(tmp_path: Path) -> None:
    settings = Settings.make(cache=tmp_path, offline=True)
    artifacts = Artifacts(tmp_path)
    maker, reader, other = (JobContext(Assets({}, settings), artifacts) for _ in range(3))
    folder = maker.artifact("model", {"a": 1}, lambda part: write(part, GOOD))
    other.artifact("plain", {"a": 1}, lambda part: (part / "x").touch())
    assert maker.reports == {folder.name: "model"}
    assert reader.reports == other.reports == {}
    assert reader.find("model", {"a": 1}) == folder
    assert reader.find("model", {"a": 2}) is None
    assert reader.reports == maker.reports
    assert artifacts.reported(folder.name[:8]) == [("model", folder.name)]
    assert artifacts.report("model", folder.name) == {"kind": "model", "key": folder.name, **GOOD}
