"""A result folder with records, task cards and readable sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from bench.store.record import Record
from bench.store.results import ResultStore
from tests.leaderboard.records import set_card, task_card

EVIL = "<script>document.title='pwned'</script> & \"quotes\" <img src=x onerror=alert(1)>"


def write_results(out: Path, records: Iterable[Record]) -> ResultStore:
    """A store as a run leaves it; every text in its sets tries to be markup."""
    kept = list(records)
    rows = tuple({"text": f"example {i}: {EVIL}", "label": i // 5} for i in range(10))
    with ResultStore(out, "w") as store:
        store.append(*kept)
        for record in kept:
            store.put_task(record.task.revision, task_card(label_names=("busi<b>ness", "sport")))
            if record.dpc is not None:
                store.put_set(record.set_key, set_card(record, rows=rows), {})
    return ResultStore(out)


@pytest.fixture
def results(tmp_path: Path) -> Callable[[Iterable[Record]], ResultStore]:
    return lambda records: write_results(tmp_path / "out", records)
