"""Distilled sets made elsewhere: a folder of JSONL files, one a set, become a method with the user's name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import DistilledSet, TaskInfo
from bench.errors import UserError, did_you_mean
from bench.identities import identity
from bench.plan import Cell, Plan, SetJob, TaskPart, cell_key, note_state, replicate_runs
from bench.store.artifacts import Artifacts
from bench.store.files import regular_file
from bench.store.identity import file_digest, key_of
from bench.store.results import Record
from bench.store.sets import check_set, save_set
from bench.text import HALF, unwritable

if TYPE_CHECKING:
    from bench.data.assets import Assets
    from bench.suite import Suite


MOST_LETTERS = 100  # of a name: it stands in every row of a board


def read_set(path: Path, info: TaskInfo) -> DistilledSet:
    """One JSONL file: the task's text fields and an integer `label` a line; other keys are ignored."""
    import numpy as np

    labels: list[int] = []
    texts: dict[str, list[str]] = {name: [] for name in info.fields}
    try:
        lines = regular_file(path, "set").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where} is not JSON: {error}") from None
        if not isinstance(row, dict):
            raise UserError(f'{where}: a JSON object is needed, such as {{"{info.fields[0]}": "...", "label": 0}}')
        for name in (*info.fields, "label"):
            if name not in row:
                raise UserError(f"{where} has no '{name}'{did_you_mean(name, row)}")
        label = row["label"]
        if type(label) is not int or not 0 <= label < info.n_classes:
            names = ", ".join(info.label_names)
            raise UserError(f"{where}: label {label!r} is not an integer in 0..{info.n_classes - 1} ({names})")
        labels.append(label)
        for name in info.fields:
            text = row[name]
            if not isinstance(text, str) or not text.strip():
                raise UserError(f"{where}: '{name}' is empty or no text")
            if unwritable(text):
                raise UserError(f"{where}: {HALF} in '{name}'")
            texts[name].append(text.strip())
    distilled = DistilledSet(labels=np.array(labels, dtype=np.int64), texts=texts)
    check_set(distilled, info.fields, info.n_classes, str(path), UserError)
    return distilled


def read_sets(folder: Path, info: TaskInfo) -> list[tuple[Path, DistilledSet]]:
    """All `*.jsonl` files of a folder, by name."""
    if not folder.is_dir():
        raise UserError(f"no folder {folder}")
    paths = sorted(folder.glob("*.jsonl"))
    if not paths:
        raise UserError(f"{folder} has no .jsonl file: one file a set is needed")
    return [(path, read_set(path, info)) for path in paths]


def common_dpc(found: list[tuple[Path, DistilledSet]], info: TaskInfo, asked: int | None) -> int:
    """The dpc of the cell: what all classes of all sets agree on, or `asked`, the budget a class that all keep."""
    import numpy as np

    counts = {path: np.bincount(distilled.labels, minlength=info.n_classes) for path, distilled in found}
    if asked is None:
        sizes = {int(size) for each in counts.values() for size in each}
        if len(sizes) == 1:
            return sizes.pop()
        path, odd = next((path, each) for path, each in counts.items() if len({*each, counts[found[0][0]][0]}) > 1)
        shown = ", ".join(f"{name}: {count}" for name, count in zip(info.label_names, odd, strict=True))
        raise UserError(
            f"{path}: the classes or sets differ in size ({shown}): put sets of one size into a folder of their own, "
            "or give --dpc, the largest number of examples a class"
        )
    for path, each in counts.items():
        if int(each.sum()) > asked * info.n_classes:
            raise UserError(f"{path} has {each.sum()} examples; --dpc {asked} allows {asked * info.n_classes}")
    return asked


def check_name(name: str, methods: Any) -> None:
    """A name of one's own, so that the board cannot mix it with a registered method."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or len(name) > MOST_LETTERS:
        raise UserError(f"'{name:.60}' is no method name: up to {MOST_LETTERS} letters, digits, '.', '_' and '-' only")
    if name in methods:
        raise UserError(f"'{name}' is a registered method: give the imported sets another --name")


def plan_imported(
    suite: Suite,
    task: TaskPart,
    found: list[tuple[Path, DistilledSet]],
    name: str,
    dpc: int,
    assets: Assets,
    artifacts: Artifacts,
    records: list[Record],
) -> Plan:
    """Put the sets into the cache and plan the suite's students on them, seeded like every other method."""
    plan = Plan(suite.name, suite.seed, [], {})
    keys = []
    for index, (path, distilled) in enumerate(found):
        fields = {"task": task.identity, "imported": file_digest(path), "dpc": dpc}
        key = key_of({"kind": "set", **fields})
        artifacts.make("set", fields, lambda part, distilled=distilled: save_set(part, distilled), key=key)  # type: ignore[misc]
        plan.sets.setdefault(key, SetJob(key, fields, task, None, name, dpc, index, 0))
        keys.append(key)
    params = {"files": [path.name for path, _ in found]}
    for student in suite.students:
        student_identity = identity(student, assets)
        runs = replicate_runs(task, keys, student, student_identity, dpc, suite.runs, suite.seed)
        key = cell_key(task, {"imported": keys}, student_identity, dpc, suite.seed)
        plan.cells.append(Cell(key, task, name, name, params, student, dpc, runs))
    note_state(plan, artifacts, records)
    return plan
