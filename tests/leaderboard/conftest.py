"""A result folder with records, task facts and readable sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from bench.store.results import ResultStore
from tests.leaderboard.records import GOLD, Record

EVIL = "<script>document.title='pwned'</script> & \"quotes\" <img src=x onerror=alert(1)>"


def write_results(out: Path, records: Iterable[Record]) -> ResultStore:
    """A store as a run leaves it; every text in its sets tries to be markup."""
    kept = list(records)
    facts: dict[str, Any] = {"label": "bbc", "fields": ["text"], "label_names": ["busi<b>ness", "sport"]}
    facts |= {"metric": "accuracy", "test_labels": GOLD, "n_test": len(GOLD)}
    with ResultStore(out, "w") as store:
        for record in kept:
            store.append(record)
            store.put_task(record["task"]["revision"], facts)
            rows = [{"text": f"example {i}: {EVIL}", "label": i // 5} for i in range(10)]
            if record["dpc"] is not None:
                names = {"task": record["task"]["label"], "method": record["method"]["label"], "dpc": record["dpc"]}
                head = {**names, "set": record["set"], "seed": record["seed"]["set"], "n": 10, "fields": ["text"]}
                store.put_set(record["set_key"], {**head, "rows": rows, "diagnostics": {}, "seconds": 0.1})
    return ResultStore(out)


@pytest.fixture
def results(tmp_path: Path) -> Callable[[Iterable[Record]], ResultStore]:
    return lambda records: write_results(tmp_path / "out", records)
