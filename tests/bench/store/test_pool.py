"""Records share what is equal in them, and say the same as before."""

from __future__ import annotations

from dataclasses import replace

from bench.store.line import line_of, parse_record
from bench.store.pool import Pool
from bench.store.record import MadeOf, Models
from tests.leaderboard.records import plugin, pocket, record, times


def test_records_say_the_same_and_share_what_is_equal() -> None:
    made = (MadeOf(kind="features", key="f", seconds=1.0),)
    models = Models(method={"minilm": ("abc",)}, encoder={}, student={"minilm": ("abc",)})
    records = [replace(one, time=times(made_of=made), models=models, set_digest=one.set_key) for one in pocket()]
    lines = [line_of(one) for one in records]
    pool, found = Pool(), [parse_record(line) for line in lines]
    for one in found:
        pool.share(one)
    assert [line_of(one) for one in found] == lines
    assert len({id(one.environment) for one in found}) == 1
    assert len({id(one.models) for one in found}) == 1
    for name in ("task", "method", "student", "cell"):
        assert len({id(getattr(one, name)) for one in found}) <= len({one.cell for one in found})
    assert len({id(one.time.made_of) for one in found}) == len({one.set_key for one in found})
    assert len({id(one.metrics) for one in found}) == len({one.score for one in found})


def test_records_that_contradict_each_other_keep_what_they_say() -> None:
    """The same cell, set and score, and yet another label, other parts, other metrics."""
    first = record(0.5)
    changes = [
        {"method": plugin("random", "other label")},
        {"method": plugin("random", seed=1)},
        {"time": times(made_of=(MadeOf(kind="features", key="f", seconds=1.0),))},
        {"metrics": {"accuracy": 0.5, "f1": 0.25}},
        {"environment": {"python": None}},
        {"set_digest": "d"},
    ]
    lines = [line_of(replace(first, key=str(place), **change)) for place, change in enumerate(changes)]
    pool, found = Pool(), [parse_record(line) for line in [line_of(first), *lines]]
    for one in found:
        pool.share(one)
    assert [line_of(one) for one in found[1:]] == lines
