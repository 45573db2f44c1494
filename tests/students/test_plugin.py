"""What the students' plugin registers, and that registering it loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bench.testing import check_student
from bench.testing.generator import build_tiny_generator
from students.params import EncoderParams, ProbeParams
from students.plugin import bench_assets, bench_students
from tests.architectures import build

IN_CONTEXT = ("icl", "icl-smollm2", "icl-gemma3-270m", "icl-gpt2-xl", "icl-opt-2.7b", "icl-llama-2-7b")
SPECS = {spec.name: spec for spec in bench_students()}
ASSETS = {asset.name: asset for asset in bench_assets()}


def test_registering_imports_nothing_heavy() -> None:
    code = (
        "import sys, students.plugin as p; p.bench_students(); p.bench_assets(); "
        "print([m for m in ('torch', 'transformers', 'sklearn', 'numpy', 'pandas') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_students_and_their_assets() -> None:
    assert set(SPECS) == {
        "encoder",
        "bert-base",
        "roberta-base",
        "bert-large",
        "xlnet-base",
        "distilbert",
        "deberta-v3",
        "modernbert",
        "tinybert-4",
        "tinybert-6",
        "minilm",
        "mpnet-base",
        "probe",
        *IN_CONTEXT,
    }
    for spec in SPECS.values():
        params = spec.params(**spec.preset)
        assert [ref for ref in spec.assets(params) if ref not in {*ASSETS, "smollm2"}] == []  # gen-distill brings it
        assert spec.assets(params)
    assert SPECS["encoder"].params().model == "bert-base"
    assert SPECS["minilm"].preset == {"model": "minilm", "trainable_layers": 2}
    hub = ("bert-base", "roberta-base", "bert-large", "xlnet-base", "distilbert", "deberta-v3", "modernbert")
    for name in (*hub, "tinybert-4", "tinybert-6"):
        assert SPECS[name].params(**SPECS[name].preset).model == name
    assert SPECS["encoder"].assets(EncoderParams(model="hub:org/name")) == ("hub:org/name",)


def test_defaults_are_the_papers_recipe() -> None:
    params = EncoderParams()
    assert (params.learning_rate, params.weight_decay, params.warmup, params.steps) == (1e-4, 0.01, 0.5, 200)
    assert (params.batch, params.clip, params.max_length) == (64, 1.0, 512)
    assert (params.dropout, params.trainable_layers) == (None, None)


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (EncoderParams, {"steps": 0}),
        (EncoderParams, {"trainable_layers": 0}),
        (EncoderParams, {"dropout": 1.0}),
        (EncoderParams, {"learning_rate": float("nan")}),
        (EncoderParams, {"lr": 1e-4}),
        (EncoderParams, {"recipe": "sgd"}),
        (EncoderParams, {"recipe": "learned-sgd", "steps": 5}),
        (EncoderParams, {"recipe": "learned-sgd", "dropout": 0.0}),
        (ProbeParams, {"pooling": "max"}),
        (ProbeParams, {"C": 0}),
    ],
)
def test_wrong_parameters_are_refused(model: type, values: dict) -> None:
    with pytest.raises(ValidationError):
        model(**values)


def test_assets_are_pinned() -> None:
    for asset in ASSETS.values():
        assert asset.content == "model"
        assert asset.licence
        assert asset.size_mb > 0
        if asset.wheel:
            assert len(asset.sha256) == 64
            assert all(member.startswith(asset.root + "/") for member in asset.members)
        elif asset.pieces:
            assert len(asset.sha256) == 64
            assert len({piece.sha256 for piece in asset.pieces}) == len(asset.pieces)
        else:
            assert len(asset.revision) == 40 or asset.notes.startswith("Not pinned")
    assert "NLI and Quora" in ASSETS["minilm"].notes
    assert "NLI and Quora" in SPECS["minilm"].notes


@pytest.mark.parametrize("name", ["encoder", "minilm", "probe"])
def test_conformance(name: str, tiny_encoder: Path) -> None:
    folder = {"encoder": str(tiny_encoder)} if name == "probe" else {"model": str(tiny_encoder), "steps": 5}
    check_student(SPECS[name], folder)


@pytest.mark.parametrize("params", [{}, {"calibration": "batch", "prior_rows": 3}, {"calibration": "contextual"}])
def test_conformance_in_context(params: dict[str, Any], tmp_path: Path) -> None:
    folder = build_tiny_generator(tmp_path / "lm", architecture="llama", positions=4096)
    check_student(SPECS["icl"], {"model": str(folder), "scoring": "whole", **params})


def test_conformance_with_learned_steps(tiny_encoder: Path) -> None:
    check_student(SPECS["minilm"], {"model": str(tiny_encoder), "recipe": "learned-sgd"})


def test_notes_name_the_source_of_the_learned_steps() -> None:
    assert EncoderParams(recipe="learned-sgd", max_length=64, trainable_layers=2).steps == 200
    for word in ("recipe=learned-sgd", "Attention Labels", "without dropout"):
        assert word in SPECS["minilm"].notes


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xlnet", "deberta-v2", "modernbert", "distilbert", "gpt2"])
def test_conformance_of_architectures(name: str, tmp_path: Path) -> None:
    check_student(SPECS["encoder"], {"model": str(build(name, tmp_path)), "steps": 3})
