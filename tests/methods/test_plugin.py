"""The specs of the built-in methods: cheap to list, complete, and their targets exist."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from bench.api import Method, MethodSpec
from methods.plugin import bench_methods

GENERATED = {"gen-distill", "gen-distill-reference-compat"}
SCORED = {"el2n", "grand", "moderate", "ccs", "grad-match"}
BASELINES = {"best-of-random", "class-mean", "kmeans-centroid", "random-embedded", "kcenters-embedded"}
IN_CONTEXT = {"lm-grad-match", "best-demonstrations"}
UNROLLED = {"tdd", "tdd-text", "dd", "random-soft", "kcenters-soft"}
SPECS = {spec.name: spec for spec in bench_methods()}


def test_names_and_what_the_runner_needs_to_know() -> None:
    kept = {"random", "kcenters", "kcenter-greedy", "herding", "vote-k", "dpp", "full", "shuffled-labels", "zero-shot"}
    assert set(SPECS) == {*kept, *SCORED, *BASELINES, *UNROLLED, *IN_CONTEXT, *GENERATED}
    fixed = {"herding", "vote-k", "full", "zero-shot", "class-mean", "lm-grad-match", *SCORED} - {"ccs"}
    assert {name for name, spec in SPECS.items() if spec.one_set(spec.params())} == fixed
    greedy = SPECS["kcenter-greedy"]
    assert greedy.one_set(greedy.params(start="mean"))
    assert {name for name, spec in SPECS.items() if not spec.uses_dpc} == {"full", "zero-shot"}
    assert {name for name, spec in SPECS.items() if not spec.examples} == {"zero-shot"}
    with_parts = {name for name, spec in SPECS.items() if spec.parts(spec.params(**spec.preset), 1, 0)}
    assert with_parts == {*SCORED, *BASELINES, *UNROLLED, *IN_CONTEXT, *GENERATED}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_target_is_a_method_and_parameters_are_described(spec: MethodSpec) -> None:
    module, _, name = spec.target.partition(":")
    assert issubclass(getattr(importlib.import_module(module), name), Method)
    assert all(field.description for field in spec.params.model_fields.values())
    assert spec.summary.endswith(".")


@pytest.mark.parametrize("name", ["kcenters", "kcenter-greedy", "herding", "vote-k", "dpp"])
def test_the_encoder_is_the_asset_and_the_paper_is_the_default(name: str) -> None:
    spec = SPECS[name]
    assert spec.params().model_dump().items() >= {"encoder": "bert-base", "pooling": "cls", "max_length": 512}.items()
    assert list(spec.assets(spec.params(encoder="minilm"))) == ["minilm"]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("kcenters", {"pooling": "max"}),
        ("kcenters", {"encodr": "minilm"}),
        ("kcenters", {"encoder": ""}),
        ("kcenters", {"max_length": 0}),
        ("herding", {"variant": "other"}),
        ("kcenter-greedy", {"start": "first"}),
        ("random", {"encoder": "minilm"}),
    ],
)
def test_bad_parameters_are_refused(name: str, params: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SPECS[name].params(**params)


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from methods.plugin import bench_methods; bench_methods();"
        "print({'torch', 'numpy', 'sklearn', 'transformers', 'scipy'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_reference_compat_names_each_departure_of_the_authors_code() -> None:
    paper, reference = (SPECS[name] for name in sorted(GENERATED))
    own, changed = paper.params(), paper.params(**reference.preset)
    departures = {name for name in type(own).model_fields if getattr(own, name) != getattr(changed, name)}
    assert departures == set(reference.preset)
    assert {"batch_learner": "trained", "repeats": "keep", "learner_dropout": False}.items() <= reference.preset.items()
    assert (own.batch_learner, own.repeats, own.learner_dropout) == ("reset", "drop", True)
    document = (Path(__file__).parents[2] / "docs" / "gen-distill.md").read_text(encoding="utf-8")
    assert not [name for name in departures if f"`{name}=" not in document]
