"""Demonstrations chosen by a language model: gradients by autograd, trials by hand, what is never read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.api import NotApplicable, Split, TaskData, TrainData, UserError
from bench.data.assets import Assets
from bench.learners.in_context.reader import Reader, form_of
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.testing import check_method, pair_task, topic_task
from bench.testing.generator import build_tiny_generator
from bench.work.context import JobContext
from methods.baselines.ranking import draw_candidates, load_ranking
from methods.in_context.best import BestDemonstrations
from methods.in_context.grad_match import LmGradMatch
from methods.in_context.params import BestDemonstrationsParams, LmGradMatchParams
from methods.in_context.parts import readings_part, readings_parts, trials_part
from methods.in_context.readings import load_readings
from methods.in_context.spec import specs
from methods.in_context.trials import try_out

SPECS = {spec.name: spec for spec in specs()}
MakeContext = Callable[..., JobContext]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_generator(tmp_path_factory.mktemp("lm"), seed=3, architecture="llama", positions=1024)


@pytest.fixture
def data() -> TrainData:
    return topic_task().train_data()


@pytest.fixture
def make_context(tmp_path: Path) -> MakeContext:
    settings = Settings.make(cache=tmp_path / "cache", offline=True)

    def make(data: TrainData, seed: int = 0, **more: Any) -> JobContext:
        about = {"task_identity": {"task": "test"}, **more}
        return JobContext(Assets({}, settings), Artifacts(settings.cache), seed=seed, data=data, **about)

    return make


def words_of(data: TrainData | TaskData) -> tuple[str, ...]:
    """Words whose first tokens differ."""
    return tuple("abcdefgh"[: data.info.n_classes])


def tiny(folder: Path, data: TrainData) -> dict[str, Any]:
    return {"model": str(folder), "label_words": {data.info.label: words_of(data)}}


@pytest.mark.parametrize(
    ("name", "more"),
    [("lm-grad-match", {"pool_rows": 4}), ("best-demonstrations", {"candidates": 3, "score_rows": 4, "keep": 1.0})],
)
def test_conformance(name: str, more: Mapping[str, Any], folder: Path) -> None:
    words = {task.info.label: words_of(task) for task in (topic_task(), pair_task())}
    check_method(SPECS[name], {"model": str(folder), "label_words": words, **more}, dpc=(2,))


def test_gradients_are_those_of_autograd(folder: Path, data: TrainData, make_context: MakeContext) -> None:
    """Of the label words' loss in the rows of the head that stand for them, one prompt at a time."""
    params = LmGradMatchParams(**tiny(folder, data), pool_rows=3)
    rows, found = load_readings(make_context(data).part(readings_part(params)))
    assert np.bincount(data.train.labels[rows]).tolist() == [3] * data.info.n_classes
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    tokens = [tokenizer(f"label: {word}")["input_ids"][-1] for word in words_of(data)]
    for place, row in enumerate(rows):
        text = "\n".join(f"{name}: {data.train.texts[name][row]}" for name in data.info.fields) + "\nlabel:"
        with torch.no_grad():
            hidden = model.model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, -1]
        head = model.lm_head.weight.detach()[tokens].clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy((head @ hidden)[None], torch.tensor([data.train.labels[row]]))
        (gradient,) = torch.autograd.grad(loss, head)
        mine = np.outer(found.errors[place], found.inputs[place])
        np.testing.assert_allclose(mine, gradient.numpy(), rtol=2e-3, atol=2e-5)


def test_rows_are_those_of_the_greedy_rule_written_out(
    folder: Path, data: TrainData, make_context: MakeContext
) -> None:
    params = LmGradMatchParams(**tiny(folder, data), pool_rows=6)
    ctx = make_context(data)
    found = LmGradMatch(params).distill(data, 3, ctx)
    rows, gradients = load_readings(ctx.part(readings_part(params)))
    assert found.rows is not None
    for label in range(data.info.n_classes):
        own = np.flatnonzero(data.train.labels[rows] == label)
        G = np.array([np.outer(gradients.errors[i], gradients.inputs[i]).ravel() for i in own], dtype=np.float64)
        picked: list[int] = []
        for _ in range(3):
            left = [i for i in range(len(own)) if i not in picked]
            picked.append(min(left, key=lambda i: np.linalg.norm(G[[*picked, i]].mean(0) - G.mean(0))))
        assert found.rows[found.labels == label].tolist() == rows[own[picked]].tolist()


def test_trials_are_what_the_reader_says_and_the_best_come_first(
    folder: Path, data: TrainData, make_context: MakeContext
) -> None:
    params, ctx = BestDemonstrationsParams(**tiny(folder, data), candidates=4, score_rows=10), make_context(data, 5)
    candidates = draw_candidates(data, 2, 4, ctx)
    reader = Reader(str(folder), ctx)
    ranking = try_out(reader, candidates, data, params, ctx)
    form, train = form_of(data.info, params.label_words), data.train
    free = np.setdiff1d(np.arange(len(train)), candidates)
    scored = np.sort(ctx.rng("score rows").permutation(free)[:10])
    accuracies = {}
    for number, rows in enumerate(candidates):
        shown = ctx.rng("order", number).permutation(rows)
        one, other = ({n: [train.texts[n][row] for row in each] for n in form.fields} for each in (shown, scored))
        (scores,) = reader.ask(form, (one, train.labels[shown]), other)
        accuracies[tuple(rows.tolist())] = float((scores.argmax(1) == train.labels[scored]).mean())
    assert [accuracies[tuple(rows)] for rows in ranking.rows.tolist()] == ranking.accuracy.tolist()
    assert sorted(ranking.accuracy, reverse=True) == ranking.accuracy.tolist()


def test_a_set_is_one_of_those_kept(folder: Path, data: TrainData, make_context: MakeContext) -> None:
    params = BestDemonstrationsParams(**tiny(folder, data), candidates=5, keep=0.4, score_rows=6)
    found = [BestDemonstrations(params).distill(data, 1, make_context(data, seed)) for seed in range(12)]
    ranking = load_ranking(make_context(data).part(trials_part(params, 1)))
    kept = {tuple(sorted(rows)) for rows in ranking.rows[:2].tolist()}
    assert {tuple(sorted(each.rows.tolist())) for each in found} == kept  # type: ignore[union-attr]
    assert all(each.diagnostics["chosen_on"] == "train" for each in found)


@pytest.mark.parametrize("name", SPECS)
def test_validation_rows_are_not_read(name: str, folder: Path, data: TrainData, make_context: MakeContext) -> None:
    more = {"pool_rows": 4} if name == "lm-grad-match" else {"candidates": 4, "score_rows": 6}
    method = {"lm-grad-match": LmGradMatch, "best-demonstrations": BestDemonstrations}[name]
    without = replace(data, validation=None)  # type: ignore[arg-type]
    found = method(SPECS[name].params(**tiny(folder, data), **more)).distill(
        without, 2, make_context(without, rows=str)
    )
    assert len(found) == 2 * data.info.n_classes


def test_mistakes_are_told_before_anything_is_read(folder: Path, data: TrainData, make_context: MakeContext) -> None:
    with pytest.raises(UserError, match="pool_rows=2 is less than dpc 3"):
        readings_parts(LmGradMatchParams(pool_rows=2), 3, 0)
    alike = {data.info.label: tuple(f"class {number}" for number in range(data.info.n_classes))}
    params = LmGradMatchParams(model=str(folder), label_words=alike, pool_rows=2)
    with pytest.raises(UserError, match="begin with the same token"):
        LmGradMatch(params).distill(data, 1, make_context(data))
    long = {name: [f"{text} " * 400 for text in texts] for name, texts in data.train.texts.items()}
    data = replace(data, train=Split(long, data.train.labels))
    params = LmGradMatchParams(**tiny(folder, data), pool_rows=2)
    with pytest.raises(NotApplicable, match="the prompt has"):
        LmGradMatch(params).distill(data, 1, make_context(data))
