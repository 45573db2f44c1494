"""Top-p sampling: the exact nucleus, and rows that know nothing of their batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from bench.api import TrainData, UserError
from methods.gen_distill import sampling
from methods.gen_distill.generator import Generator, make_generator
from methods.gen_distill.sampling import TRIES, draw, inside, sample, uniforms
from tests.methods.gen_distill.conftest import MakeContext, MakeParams

MAX_TOKENS = 16


@pytest.fixture(params=["gpt2", "llama", "frozen"])
def generator(
    request: pytest.FixtureRequest, train_data: TrainData, make_context: MakeContext, make_params: MakeParams
) -> Generator:
    """A random generator whose texts end before MAX_TOKENS more often than not."""
    folder = request.getfixturevalue("tiny_llama" if request.param == "llama" else "tiny_generator")
    params = make_params(generator=str(folder), trainable_layers=2 if request.param == "frozen" else None)
    found = make_generator(params, train_data, make_context(train_data))
    if found.boundary is not None:  # what the class does is in the control vectors, which start at zero
        with torch.no_grad():
            found.boundary.vectors.normal_(generator=torch.Generator().manual_seed(0))
    prefer(found, {found.template.eos: 4.0})
    return found


def prefer(generator: Any, ids: dict[int, float]) -> None:
    """Add constants to the logits of some ids."""
    original = generator.step

    def step(*args: Any) -> Any:
        logits, cache = original(*args)
        logits = logits.clone()
        for token, more in ids.items():
            logits[:, token] += more
        return logits, cache

    generator.step = step


def sorted_nucleus(weights: np.ndarray, p: float) -> list[int]:
    """The definition, token by token: most probable first, lower ids first on ties, until the mass is p."""
    kept: list[int] = []
    mass = 0.0
    for token in sorted(range(len(weights)), key=lambda i: (-weights[i], i)):
        if (mass >= p and p < 1) or weights[token] == 0:
            break
        kept.append(token)
        mass += weights[token]
    return kept


def quantised(rng: np.random.Generator, rows: int, size: int) -> np.ndarray:
    """Weights of sum 1 in 2048ths: sums are exact, and many are equal or 0."""
    return np.stack([rng.multinomial(2048, rng.dirichlet(np.full(size, 0.3))) for _ in range(rows)]) / 2048


@pytest.mark.parametrize("p", [0.25, 0.5, 0.875, 0.95, 1.0])
def test_the_nucleus_is_the_smallest_set_of_mass_p(p: float) -> None:
    weights = quantised(np.random.default_rng(0), 60, 30)
    tensor = torch.from_numpy(weights)
    kept = torch.stack([inside(tensor, torch.full((60,), token), p) for token in range(30)], dim=1).numpy()
    for row, members in zip(weights, kept, strict=True):
        assert np.flatnonzero(members).tolist() == sorted(sorted_nucleus(row, p))
        mass = row[members].sum()
        assert mass >= p
        assert p == 1 or mass - row[members].min() < p


@pytest.mark.parametrize("p", [0.25, 0.5, 0.95, 1.0])
def test_the_sorted_draw_knows_the_same_nucleus(p: float) -> None:
    weights = torch.from_numpy(quantised(np.random.default_rng(1), 60, 30))
    for u in (0.0, 0.3, 0.999, 1 - 2**-53):
        tokens = sampling._draw_sorted(weights, torch.full((60, 1), u, dtype=torch.float64), p)
        assert inside(weights, tokens, p).all()
        for row, token in zip(weights.numpy(), tokens.tolist(), strict=True):
            members = sorted_nucleus(row, p)
            below = row[members[: members.index(token)]].sum() / row[members].sum()
            assert below <= u + 1e-12
            assert u <= below + row[token] / row[members].sum() + 1e-12


@pytest.mark.parametrize("p", [0.1, 0.5, 0.95, 1.0])
def test_frequencies_are_those_of_the_nucleus(p: float) -> None:
    n, logits = 40_000, torch.randn(30, generator=torch.Generator().manual_seed(3)) * 1.5
    logits[[4, 7]] = -torch.inf
    weights = logits.double().softmax(-1).numpy()
    members = sorted_nucleus(weights, p)
    u = torch.from_numpy(uniforms(5, np.arange(n), (TRIES + 1,)))
    counts = np.bincount(draw(logits.expand(n, -1).clone(), u, p).numpy(), minlength=30)
    assert counts.sum() == counts[members].sum() == n
    if len(members) > 1:  # p = 0.1 keeps one token
        assert stats.chisquare(counts[members], n * weights[members] / weights[members].sum()).pvalue > 0.01


def test_equal_probabilities_go_by_id() -> None:
    u = torch.from_numpy(uniforms(0, np.arange(2000), (TRIES + 1,)))
    tokens = draw(torch.zeros(2000, 10), u, 0.35)
    assert sorted(set(tokens.tolist())) == [0, 1, 2, 3]


def test_pieces_of_a_batch_draw_what_the_whole_batch_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(50, 20, generator=torch.Generator().manual_seed(0))
    u = torch.from_numpy(uniforms(0, np.arange(50), (TRIES + 1,)))
    whole = draw(logits, u, 0.8)
    monkeypatch.setitem(sampling.DRAW_VALUES, "cpu", 70)  # 3 rows
    assert torch.equal(draw(logits, u, 0.8), whole)


def test_extreme_random_numbers_stay_among_the_drawable() -> None:
    logits = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    logits[:, 40:] = -torch.inf
    for value in (0.0, 1 - 2**-24):
        for p in (0.05, 0.95, 1.0):
            assert (draw(logits, torch.full((4, TRIES + 1), value), p) < 40).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_a_users_error(bad: float) -> None:
    logits = torch.zeros(3, 10)
    logits[1, 2] = bad
    with pytest.raises(UserError, match=r"logits are not finite.*lm_learning_rate"):
        draw(logits, torch.full((3, TRIES + 1), 0.5), 0.95)


def test_a_row_equals_its_replay_without_cache_or_batch(generator: Generator) -> None:
    classes = np.arange(20) % 3
    rows = sample(generator, classes, max_tokens=MAX_TOKENS, top_p=0.9, seed=11)
    assert len({len(row) for row in rows}) > 5  # rows left the batch at different steps
    banned = list(generator.template.banned)
    for number, row in enumerate(rows):
        assert row[0] == generator.template.bos[classes[number]]
        u = torch.from_numpy(uniforms(11, np.array([number]), (MAX_TOKENS - 1, TRIES + 1)))[0]
        start = torch.tensor([classes[number]])
        with torch.no_grad():
            logits = [
                generator.step(torch.from_numpy(row[None, :length].astype(np.int64)), None, start)[0][0]
                for length in range(1, len(row))
            ]
        allowed = torch.stack(logits).index_fill(1, torch.tensor(banned), -torch.inf)
        replay = draw(allowed, u[: len(row) - 1], 0.9)
        assert replay.tolist() == row[1:].tolist()


@pytest.mark.parametrize("generator", ["gpt2", "llama"], indirect=True)
def test_cached_logits_equal_those_of_a_whole_forward_pass(generator: Any) -> None:
    prefer(generator, {generator.template.eos: -40.0})  # 4 - 40: the text is cut at MAX_TOKENS
    found: list[torch.Tensor] = []
    original = generator.step

    def step(*args: Any) -> Any:
        logits, cache = original(*args)
        found.append(logits.clone())
        return logits, cache

    generator.step = step
    (row,) = sample(generator, np.array([1]), max_tokens=MAX_TOKENS, top_p=1.0, seed=2)
    assert len(row) == MAX_TOKENS
    with torch.no_grad():
        whole = generator.model(input_ids=torch.from_numpy(row[None].astype(np.int64))).logits[0]
    whole[:, generator.template.eos] -= 36.0
    torch.testing.assert_close(torch.cat(found), whole[:-1], rtol=1e-4, atol=1e-4)


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def modes(generator: Generator) -> list[bool]:
    return [module.training for module in generator.model.modules()]


def test_rows_do_not_depend_on_batches_or_on_when_rows_leave(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = np.arange(18) % 3

    def rows(batch: int | None = None, leave: float = 1 / 8) -> list[np.ndarray]:
        monkeypatch.setattr(sampling, "LEAVE", leave)
        return sample(generator, classes, max_tokens=MAX_TOKENS, top_p=0.95, seed=4, batch=batch)

    expected = rows()
    assert same(rows(batch=1), expected)
    assert same(rows(batch=7), expected)
    assert same(rows(leave=1e-9), expected)
    assert same(rows(leave=2.0), expected)


def test_streams_name_the_random_numbers_of_rows(generator: Generator) -> None:
    options: dict[str, Any] = {"max_tokens": MAX_TOKENS, "top_p": 0.95, "seed": 4}
    expected = sample(generator, np.zeros(10, dtype=np.int64), **options)
    some = np.array([7, 2, 5])
    assert same(
        sample(generator, np.zeros(3, dtype=np.int64), streams=some, **options), [expected[row] for row in some]
    )


def test_same_seed_same_rows_and_nothing_else_changes(generator: Generator) -> None:
    options: dict[str, Any] = {"max_tokens": MAX_TOKENS, "top_p": 0.95}
    classes = np.arange(12) % 3
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    generator.train_mode()
    training = modes(generator)
    assert any(training)
    first = sample(generator, classes, seed=1, **options)
    assert modes(generator) == training
    generator.eval_mode()
    torch.rand(3, generator=torch.Generator().manual_seed(1))
    second = sample(generator, classes, seed=1, **options)
    assert not any(modes(generator))
    assert same(first, second)
    assert not same(first, sample(generator, classes, seed=2, **options))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # type: ignore[index]


def test_banned_ids_never_come_and_only_the_end_token_ends(generator: Generator) -> None:
    template = generator.template
    prefer(generator, dict.fromkeys(template.banned, 30.0))
    rows = sample(generator, np.arange(60) % 3, max_tokens=MAX_TOKENS, top_p=1.0, seed=0)
    lengths = [len(row) for row in rows]
    assert max(lengths) == MAX_TOKENS
    for row in rows:
        assert row.dtype == np.int32
        assert not set(row[1:]) & set(template.banned)
        assert template.eos not in row[:-1]
        assert len(row) == MAX_TOKENS or row[-1] == template.eos


def test_progress_and_bounds(generator: Generator) -> None:
    seen: list[tuple[int, int]] = []
    options: dict[str, Any] = {"top_p": 0.95, "seed": 0}
    rows = sample(
        generator, np.zeros(5, dtype=np.int64), max_tokens=2, batch=2, progress=lambda *x: seen.append(x), **options
    )
    assert {len(row) for row in rows} == {2}
    assert seen == [(2, 5), (4, 5), (5, 5)]
    with pytest.raises(ValueError, match="max_tokens must be in 2"):
        sample(generator, np.zeros(1, dtype=np.int64), max_tokens=generator.context + 1, **options)


def test_a_diverged_generator_is_a_users_error(generator: Generator) -> None:
    generator.train_mode()
    training = modes(generator)
    with torch.no_grad():
        generator.model.get_input_embeddings().weight.fill_(float("nan"))
    with pytest.raises(UserError, match="logits are not finite"):
        sample(generator, np.zeros(2, dtype=np.int64), max_tokens=8, top_p=0.95, seed=0)
    assert modes(generator) == training


def test_splitmix64_gives_its_published_numbers() -> None:
    steps = np.arange(1, 4, dtype=np.uint64) * sampling._GOLDEN
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]  # from state 1234567
    assert sampling._mix(np.array([1234567], dtype=np.uint64) + steps).tolist() == expected


def test_uniforms_are_uniform_and_their_streams_independent() -> None:
    u = uniforms(3, np.arange(400), (50, 2))
    assert u.dtype == np.float32
    assert 0 <= u.min() < u.max() < 1
    assert stats.kstest(u.ravel(), "uniform").pvalue > 0.01
    assert stats.kstest(uniforms(3, np.arange(20_000), (1,)).ravel(), "uniform").pvalue > 0.01  # across streams
    assert abs(np.corrcoef(u[:-1].ravel(), u[1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(u.ravel(), uniforms(4, np.arange(400), (50, 2)).ravel())[0, 1]) < 0.02
    assert np.array_equal(uniforms(3, np.array([9, 4]), (50, 2)), u[[9, 4]])
