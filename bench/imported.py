"""Distilled sets made elsewhere: a folder of files, one a set, becomes a method with the user's name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import Context, DistilledSet, Method, MethodSpec, Params, TaskInfo, TrainData
from bench.data.assets import Assets
from bench.data.tables import SUFFIXES, Table, label_text, read
from bench.errors import UserError, did_you_mean
from bench.identities import set_key
from bench.jobs import PlannedTask, SetJob
from bench.plan import Cell, Plan, cell_key, chosen_students, note_state, planned, replicate_runs
from bench.selection import Choice
from bench.store.artifacts import Artifacts
from bench.store.embeddings import arrays_of, facts_of, plain
from bench.store.identity import key_of
from bench.store.portable import SUFFIX, has_arrays, read_portable
from bench.store.record import Record
from bench.store.sets import check_set, example_rows, shown_rows
from bench.suite import Suite

if TYPE_CHECKING:
    import numpy as np

MOST_LETTERS = 100  # of a name: it stands in every row of a board
TYPED = (".jsonl", ".json", ".parquet")  # files that tell a text from a number
LABEL = "label"  # the column of `bench export`


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a set. `texts`: in the order of the task's fields, empty: as these are called.

    `labels`: the first of them that the file has is the label.
    """

    texts: tuple[str, ...] = ()
    labels: tuple[str, ...] = (LABEL,)


class ImportedParams(Params):
    """Where a set is, and what was read from there when it was planned."""

    path: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    content: str  # of the set: `content_key`


class Imported(Method):
    """A set that was made elsewhere: what its file says, as long as that has not changed."""

    params: ImportedParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        path = Path(self.params.path)
        found = read_set(path, data.info, Columns(self.params.texts, self.params.labels))
        if content_key(found) != self.params.content:
            raise UserError(f"{path} changed while it was scored: run `bench score` again")
        return found


def spec(name: str) -> MethodSpec:
    """What stands for a method whose sets were made elsewhere, under the user's name."""
    return MethodSpec(name=name, summary="Sets made elsewhere.", target=f"{__name__}:Imported", params=ImportedParams)


def content_key(distilled: DistilledSet) -> str:
    """The key of what a set holds, whatever its file is called."""
    if not has_arrays(distilled):
        return key_of(example_rows(distilled))
    embeddings = distilled.embeddings
    arrays = {} if distilled.soft_labels is None else {"soft_labels": distilled.soft_labels}
    arrays |= {} if embeddings is None else arrays_of(embeddings)
    facts = None if embeddings is None else facts_of(embeddings)
    digests = {
        name: [array.dtype.str, list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
        for name, array in arrays.items()
    }
    return key_of([example_rows(distilled), digests, facts, plain(distilled.diagnostics)])


def read_set(path: Path, info: TaskInfo, named: Columns) -> DistilledSet:
    """One file of a set: a table, or what `bench export` wrote of a set with arrays. UserError for a defect."""
    distilled = _with_arrays(path, info) if path.suffix.lower() == SUFFIX else _from_table(path, info, named)
    check_set(distilled, info.fields, info.n_classes, str(path), UserError)
    return distilled


def _with_arrays(path: Path, info: TaskInfo) -> DistilledSet:
    """A set of this task's classes. UserError when they are others, since labels and distributions only count them."""
    found = read_portable(path)
    if found.label_names != info.label_names:
        names = (", ".join(map(str, each)) for each in (found.label_names, info.label_names))
        raise UserError(f"{path} has the classes {next(names)}; the task has {next(names)}")
    return found.distilled


def _from_table(path: Path, info: TaskInfo, named: Columns) -> DistilledSet:
    """The task's text fields and a label a row; other columns are ignored.

    A label is the name of a class or an integer in [0, C).
    """
    import numpy as np

    table = read(path)
    if named.texts and len(named.texts) != len(info.fields):
        raise UserError(f"--text-columns {','.join(named.texts)}: the task has the fields {', '.join(info.fields)}")
    texts: dict[str, list[str]] = {}
    for name, column in zip(info.fields, named.texts or info.fields, strict=True):
        if column not in table.columns and "nearest" in table.columns:
            raise UserError(
                f"{table.path} is the copy to read of a set at embedding level: put the {SUFFIX} file that "
                "`bench export` wrote beside it into the folder too"
            )
        _check_column(table, column, "--text-columns")
        texts[name] = table.text(column)
        if "" in texts[name]:
            row = texts[name].index("")
            lack = _lack(table, row, column) or f": '{column}' is empty or no text"
            raise UserError(f"{table.at(row)}{lack}")
    label = next((name for name in named.labels if name in table.columns), named.labels[0])
    _check_column(table, label, "--label-column")
    labels = np.array(class_numbers(table, label, info.label_names), dtype=np.int64)
    return DistilledSet(labels=labels, texts=texts)


def _check_column(table: Table, column: str, flag: str) -> None:
    if column not in table.columns:
        raise UserError(f"{table.path} has no column '{column}'{did_you_mean(column, table.columns)}; or give {flag}")


def _lack(table: Table, row: int, column: str) -> str:
    """` has no 'text'` and what may be meant, when a row has no value there; else empty."""
    if table.columns[column][row] is not None:
        return ""
    others = [name for name, values in table.columns.items() if name != column and values[row] is not None]
    return f" has no '{column}'{did_you_mean(column, others)}"


def class_numbers(table: Table, column: str, names: Sequence[str]) -> list[int]:
    """The label column as class numbers: names of classes, or integers in [0, C), one of the two in a file.

    Where both are possible and differ (classes `1` and `2`, labels 1 and 1), only texts in a file that tells texts
    from numbers are taken, as names. UserError names the first row that is neither.
    """
    values = table.columns[column]
    texts = [label_text(value) for value in values]
    by_name = {name: number for number, name in enumerate(names)}
    by_number = {str(number): number for number in range(len(names))}
    for row, text in enumerate(texts):
        if text not in by_name and text not in by_number:
            if lack := _lack(table, row, column):
                raise UserError(f"{table.at(row)}{lack}")
            hint = did_you_mean(text or "", names)
            raise UserError(
                f"{table.at(row)}: label {values[row]!r} is not an integer in 0..{len(names) - 1} ({', '.join(names)}) "
                f"or one of these names{hint if 'did you mean' in hint else ''}"
            )
    readings = [[of[text] for text in texts if text in of] for of in (by_name, by_number)]
    possible = [found for found in readings if len(found) == len(texts)]
    if not possible:
        name, number = (next(row for row, text in enumerate(texts) if text not in of) for of in (by_number, by_name))
        raise UserError(
            f"{table.path}: the labels are names of classes in some rows ({table.unit} {table.lines[name]}: "
            f"{texts[name]!r}) and numbers in others ({table.unit} {table.lines[number]}: {texts[number]!r}); "
            "write names in all"
        )
    typed = table.path.suffix.lower() in TYPED
    # In a CSV, 0 and 1 for classes named 1, 2, 3: numbers for certain only where all of them occur, as in a whole set.
    clash = any(by_name.get(text, number) != number for text, number in by_number.items() if text in texts)
    unsure = clash and not typed and readings[0] not in possible and set(texts) != set(by_number)
    if possible[0] == possible[-1] and not unsure:
        return possible[0]
    if typed and all(isinstance(value, str) for value in values):
        return readings[0]
    raise UserError(
        f"{table.path}: the labels may be names of classes ({', '.join(names)}) or their numbers from 0; "
        f'write the names as texts into a .jsonl file, such as {{"{column}": "{names[0]}"}}'
    )


def read_sets(folder: Path, info: TaskInfo, named: Columns) -> list[tuple[Path, DistilledSet]]:
    """All sets of a folder but hidden files, by name without the extension: their order.

    A set with arrays may have a table of the same name beside it, as `bench export` writes it: for people, so the two
    must say the same.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is {'a file: put it into a folder' if folder.is_file() else 'no folder'}")
    known = (*SUFFIXES, SUFFIX)
    paths = [path for path in folder.iterdir() if path.suffix.lower() in known and not path.name.startswith(".")]
    if not paths:
        raise UserError(f"{folder} has no {', '.join(known[:-1])} or {known[-1]} file: one file a set is needed")
    paths.sort(key=lambda path: (f"{path.stem}.", path.name))
    whole = {path.stem: path for path in paths if path.suffix.lower() == SUFFIX}
    tables = [path for path in paths if path.suffix.lower() != SUFFIX]
    for first, second in pairwise(tables):
        if first.stem == second.stem:
            raise UserError(f"{folder} has {first.name} and {second.name}: keep one of them, a set is one file")
    found = [(path, read_set(path, info, named)) for path in paths if whole.get(path.stem, path) == path]
    sets = dict(found)
    for path in tables:
        if path.stem in whole:
            _check_copy(path, whole[path.stem], sets[whole[path.stem]])
    return found


def _check_copy(copy: Path, path: Path, distilled: DistilledSet) -> None:
    """Refuse a readable copy that says something else than its set: whoever changed it wants that scored."""
    table, rows = read(copy), shown_rows(distilled)
    for name in rows[0]:
        said = list(table.columns.get(name, ()))
        if said != [row[name] for row in rows]:
            raise UserError(
                f"{copy} differs from {path.name} in '{name}': that table is a copy to read, and is not scored; "
                "delete one of the two"
            )


def common_dpc(found: list[tuple[Path, DistilledSet]], info: TaskInfo, asked: int | None) -> int:
    """The dpc of the cell: what all classes of all sets agree on, or `asked`, the budget a class that all keep."""
    counts = {path: _class_counts(distilled, info.n_classes) for path, distilled in found}
    if asked is None:
        sizes = {int(size) for each in counts.values() for size in each}
        if len(sizes) == 1:
            return sizes.pop()
        first, other = (
            next(path for path, each in counts.items() if size in each) for size in (min(sizes), max(sizes))
        )
        shown = [
            ", ".join(f"{name}: {count}" for name, count in zip(info.label_names, counts[path], strict=True))
            for path in dict.fromkeys((first, other))
        ]
        rest = f", {other} has {shown[1]}" if first != other else ""
        raise UserError(
            f"the classes or sets differ in size: {first} has {shown[0]}{rest}: put sets of one size into a folder of "
            "their own, or give --dpc, the largest number of examples a class"
        )
    for path, each in counts.items():
        if int(each.sum()) > asked * info.n_classes:
            raise UserError(f"{path} has {each.sum()} examples; --dpc {asked} allows {asked * info.n_classes}")
    return asked


def _class_counts(distilled: DistilledSet, n_classes: int) -> np.ndarray:
    """Examples a class, int64 [C]; without texts labels may be learned, so the total is shared evenly if it can be."""
    import numpy as np

    if distilled.texts is None and len(distilled) % n_classes == 0:
        return np.full(n_classes, len(distilled) // n_classes)
    return np.bincount(distilled.labels, minlength=n_classes)


def check_name(name: str, methods: Any) -> None:
    """A name of one's own, so that the board cannot mix it with a registered method."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or len(name) > MOST_LETTERS:
        raise UserError(f"'{name:.60}' is no method name: up to {MOST_LETTERS} letters, digits, '.', '_' and '-' only")
    if name in methods:
        raise UserError(f"'{name}' is a registered method: give the imported sets another --name")


def plan_imported(
    suite: Suite,
    task: PlannedTask,
    found: list[tuple[Path, DistilledSet]],
    named: Columns,
    name: str,
    dpc: int,
    assets: Assets,
    artifacts: Artifacts,
    records: list[Record],
) -> Plan:
    """Plan the suite's students on the sets, seeded like every other method; equal contents are one set."""
    plan = Plan(suite.name, suite.seed, [], {})
    plan.add(*suite.tasks, *suite.students)
    keys = []
    for index, (path, distilled) in enumerate(found):
        content = content_key(distilled)
        params = ImportedParams(path=str(path), texts=named.texts, labels=named.labels, content=content)
        method = Choice(spec(name), params, name)
        plan.add(method)
        fields = {"imported": content, "dpc": dpc}
        key = set_key(task.revision, fields)
        source = f"{__name__}:{spec.__name__}"
        plan.sets.setdefault(key, SetJob(key, fields, task, planned(method, source), dpc, index, 0, given=True))
        keys.append(key)
    names = (name, name, {"files": [path.name for path, _ in found]})
    for student in chosen_students(suite, assets):
        runs = replicate_runs(task, keys, student, dpc, suite.runs, suite.seed)
        key = cell_key(task, {"imported": keys}, student.identity, dpc, suite.seed)
        plan.cells.append(Cell(key, task, *names, student.plugin, student.key, dpc, runs))
    note_state(plan, artifacts, records)
    return plan
