"""The whole method on tiny models: artifacts shared and resumed, variants, sets, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import TrainData, UserError
from methods.gen_distill import finetune, lm
from methods.gen_distill.method import GenDistill
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.parts import (
    PROMPT,
    STAGE_1,
    STAGE_2,
    generator_part,
    lm_part,
    tuned_part,
)
from methods.gen_distill.synthesis import draw_pools
from tests.methods.gen_distill.conftest import MakeContext, MakeParams, train

WARM = {"lm_steps": 40, "lm_learning_rate": 1e-2}  # enough that samples are mostly valid


def test_every_parameter_belongs_to_a_stage() -> None:
    stage_3 = {"over_sample", "repeats"}
    assert set(GenDistillParams.model_fields) == {*STAGE_1, *STAGE_2, *PROMPT, *stage_3}
    assert not stage_3 & {*STAGE_1, *STAGE_2, *PROMPT}
    assert not {"start", "finetune", "prompt_rows"} & {*STAGE_1, *STAGE_2}  # what does not change a training


@pytest.mark.parametrize(
    ("changes", "lm", "tuned"),
    [
        ({"over_sample": 7, "repeats": "keep"}, True, True),
        ({"teacher": "random"}, True, False),
        ({"batch_learner": "trained"}, True, False),
        ({"top_p": 0.5}, True, False),
        ({"learner_layers": 1}, True, False),
        ({"lm_steps": 9}, False, False),
        ({"generator_seed": 1}, False, False),
    ],
)
def test_addresses_change_with_their_stage_alone(
    train_data: TrainData,
    make_context: MakeContext,
    make_params: MakeParams,
    changes: dict[str, Any],
    lm: bool,
    tuned: bool,
) -> None:
    ctx, one, other = make_context(train_data), make_params(), make_params(**changes)
    assert (ctx.address(lm_part(one)) == ctx.address(lm_part(other))) == lm
    assert (ctx.address(tuned_part(one)) == ctx.address(tuned_part(other))) == tuned


@pytest.mark.parametrize("generator", ["tiny", "scratch"])
def test_sets_of_any_size_come_from_one_generator(
    train_data: TrainData,
    make_context: MakeContext,
    make_params: MakeParams,
    generator: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    p = make_params(**WARM, **({"generator": "scratch"} if generator == "scratch" else {}))
    found = GenDistill(p).distill(train_data, 2, make_context(train_data))
    for stage in ("stage1", "stage2"):
        monkeypatch.setattr(f"methods.gen_distill.{stage}.make", None)  # nothing is trained again
    again = GenDistill(p).distill(train_data, 2, make_context(train_data))
    other = GenDistill(p.model_copy(update={"over_sample": 2})).distill(train_data, 3, make_context(train_data, seed=1))
    assert found.texts == again.texts
    assert found.texts is not None
    assert other.texts is not None
    assert list(found.labels) == [0, 0, 1, 1, 2, 2]
    assert np.bincount(other.labels).tolist() == [3, 3, 3]
    assert set(found.texts["sentence"]) != set(other.texts["sentence"])
    assert found.diagnostics["drawn"] - found.diagnostics["invalid"] == 2 * p.over_sample * 3


def test_tokens_of_a_set_are_those_of_its_texts(
    train_data: TrainData, make_context: MakeContext, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools: list[Any] = []
    monkeypatch.setattr(
        "methods.gen_distill.method.draw_pools", lambda *a, **k: pools.extend(draw_pools(*a, **k)) or pools
    )
    found = GenDistill(make_params(**WARM, finetune=False)).distill(train_data, 2, make_context(train_data))
    assert found.texts is not None
    lengths = {
        (pool.label, text): len(sequence) - 2
        for pool in pools
        for text, sequence in zip(pool.texts["sentence"], pool.sequences, strict=True)
    }
    chosen = zip(found.labels.tolist(), found.texts["sentence"], strict=True)
    assert found.diagnostics["tokens"] == sum(lengths[one] for one in chosen) > 0


def test_before_fine_tuning_is_stage_1_alone(
    train_data: TrainData, make_context: MakeContext, make_params: MakeParams
) -> None:
    ctx = make_context(train_data)
    before, after = make_params(**WARM, finetune=False), make_params(**WARM)
    folder = ctx.part(generator_part(before))
    assert ctx.find(*ctx.address(lm_part(after))) == folder
    assert ctx.find(*ctx.address(tuned_part(after))) is None


def test_pairs(pair_data: TrainData, make_context: MakeContext, make_params: MakeParams) -> None:
    found = GenDistill(make_params(lm_steps=60, lm_learning_rate=1e-2)).distill(pair_data, 2, make_context(pair_data))
    assert found.texts is not None
    assert [len(found.texts[name]) for name in ("first", "second")] == [4, 4]
    assert all(found.texts["first"] + found.texts["second"])


def test_variants_are_prepared_together_as_if_alone(
    train_data: TrainData, make_context: MakeContext, make_params: MakeParams, tmp_path: Path
) -> None:
    variants = [
        make_params(**WARM),
        make_params(**WARM, teacher="random"),
        make_params(**WARM, finetune=False),
        make_params(**WARM, over_sample=2),
    ]
    ctx = make_context(train_data)
    starts = []
    learner_start = finetune.Learner.start
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune.Learner, "start", lambda self, seed: starts.append(seed) or learner_start(self, seed))
        assert train(variants, train_data, ctx) == {}
    assert len(starts) == variants[0].outer_loops  # one trajectory for all of them
    together = [weights(ctx.find(*ctx.address(generator_part(p)))) for p in variants]
    assert together[0] == together[3]  # stage 3 alone differs
    assert len(set(together)) == 3
    (tmp_path / "alone").mkdir()
    from bench.data.assets import Assets
    from bench.settings import Settings
    from bench.store.artifacts import Artifacts
    from bench.work.context import JobContext

    settings = Settings.make(cache=tmp_path / "alone", offline=True)
    alone = JobContext(Assets({}, settings), Artifacts(settings.cache), data=train_data, task_identity={"task": "test"})
    assert train([variants[1]], train_data, alone) == {}
    assert weights(alone.find(*alone.address(generator_part(variants[1])))) == together[1]


def weights(folder: Path | None) -> bytes:
    """The trained weights of a finished generator."""
    assert folder is not None
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*.safetensors")))


def test_a_failing_variant_does_not_stop_the_others(
    train_data: TrainData, make_context: MakeContext, make_params: MakeParams, tiny_encoder: Path
) -> None:
    variants = [
        make_params(**WARM, learning_rate=1e30, warmup=0.0),
        make_params(**WARM),
        make_params(**WARM, generator=str(tiny_encoder)),
        make_params(lm_steps=20, lm_learning_rate=1e30),
    ]
    ctx = make_context(train_data)
    errors = train(variants, train_data, ctx)
    assert sorted(errors) == [0, 2, 3]
    assert "smaller learning_rate" in str(errors[0])
    assert "causal language model" in str(errors[2])
    assert "smaller lm_learning_rate" in str(errors[3])
    assert all(isinstance(error, UserError) and "\n" not in str(error) for error in errors.values())
    assert ctx.find(*ctx.address(generator_part(variants[1]))) is not None
    with pytest.raises(UserError, match="smaller learning_rate"):
        GenDistill(variants[0]).distill(train_data, 1, ctx)


@pytest.mark.parametrize("stage", ["language model", "gradient matching"])
def test_a_killed_training_is_taken_up(
    train_data: TrainData,
    make_context: MakeContext,
    make_params: MakeParams,
    stage: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(lm, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(finetune, "CHECKPOINT_SECONDS", -1.0)
    p = make_params(**WARM, outer_loops=5)
    ctx = make_context(train_data)
    seen: list[int] = []

    def kill(done: int, total: int, what: str = "") -> None:
        if what.startswith(stage):
            seen.append(done)
            if len(seen) == 7:
                raise KeyboardInterrupt

    monkeypatch.setattr(ctx, "progress", kill)
    with pytest.raises(KeyboardInterrupt):
        train([p], train_data, ctx)
    assert seen[-1] == 7
    seen.clear()
    monkeypatch.setattr(
        ctx, "progress", lambda done, total, what="": seen.append(done) if what.startswith(stage) else None
    )
    assert train([p], train_data, ctx) == {}
    assert seen[0] == (8 if stage == "language model" else 5)  # stage 2: from the last sampling on
    assert not list((tmp_path / "cache" / "workspaces").rglob("*.safetensors"))


def test_reports_are_left(train_data: TrainData, make_context: MakeContext, make_params: MakeParams) -> None:
    ctx = make_context(train_data)
    GenDistill(make_params(**WARM)).distill(train_data, 1, ctx)
    found = {kind: ctx._artifacts.report(kind, key) for key, kind in ctx.reports.items() if kind.startswith("gen-")}
    assert set(found) == {"gen-distill-lm", "gen-distill-lm-samples", "gen-distill", "gen-distill-samples"}
    training, samples = found["gen-distill"], found["gen-distill-samples"]
    assert training is not None
    assert samples is not None
    assert {f"L_GM, class {label}" for label in range(3)} <= set(training["curves"])
    assert "stage 2, steps" in training["facts"]
    assert {"samples, label agreement", "samples, copies of train texts"} <= set(samples["facts"])
    assert len(samples["texts"]) == 3


@pytest.mark.parametrize("change", [{"top_p": 0.5}, {"pooling": "mean"}, {"max_length": 8}])
def test_a_report_is_of_the_variant_that_shows_it(
    train_data: TrainData, make_context: MakeContext, make_params: MakeParams, change: dict[str, Any]
) -> None:
    """Both share stage 1's generator; what its samples look like depends on parameters that it does not."""
    one, other = make_params(**WARM, finetune=False), make_params(**WARM, finetune=False, **change)

    def reports(params: GenDistillParams) -> dict[str, str]:
        ctx = make_context(train_data)
        GenDistill(params).distill(train_data, 1, ctx)
        return {kind: key for key, kind in ctx.reports.items() if kind.startswith("gen-distill-lm")}

    first, second, again = reports(one), reports(other), reports(one)
    assert first == again
    assert first["gen-distill-lm"] == second["gen-distill-lm"]
    assert first["gen-distill-lm-samples"] != second["gen-distill-lm-samples"]
    artifacts = make_context(train_data)._artifacts
    facts = []
    for key in (first["gen-distill-lm-samples"], second["gen-distill-lm-samples"]):
        report = artifacts.report("gen-distill-lm-samples", key)
        assert report is not None
        facts.append({name: value for name, value in report["facts"].items() if "seconds" not in name})
    assert facts[0] != facts[1]


def test_mistakes_are_one_line(train_data: TrainData, make_context: MakeContext, make_params: MakeParams) -> None:
    ctx = make_context(train_data)
    with pytest.raises(UserError, match="dpc must be 1 or more"):
        GenDistill(make_params()).distill(train_data, 0, ctx)
    with pytest.raises(ValueError, match=r"generation_interval \(\d+\) must be a multiple of inner_loop \(\d+\)"):
        make_params(generation_interval=5)
