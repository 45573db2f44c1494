"""`bench export`: distilled sets as JSONL, each with a card."""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.arguments import folder_of
from bench.cli.options import settings_options
from bench.errors import UserError
from bench.output import echo
from bench.session import pass_on
from bench.store.files import write_atomic
from bench.store.record import Kind, Record, SetCard
from bench.store.text import shown as safe
from leaderboard.escape import code_span, plain_text

LONGEST = 180  # bytes of a file name, of 255 that a file system takes


@click.command("export", short_help="Write distilled sets as JSONL.")
@click.argument("out", default="bench-out")
@click.option("--task", metavar="NAME", help="Only this task, as the board or `bench run` names it.")
@click.option("--method", metavar="NAME", help="Only this method.")
@click.option("--dpc", metavar="N", help="Only this number of examples a class, or 'all' (data).")
@click.option("--set", "index", type=click.IntRange(0), help="Only this set index.")
@click.option("--to", default="bench-export", show_default=True, metavar="DIR", help="Where the files go.")
@settings_options
def command(out: str, to: str, **options: Any) -> None:
    """Write the distilled sets of a result folder: one JSONL file a set, and beside it a card in markdown.

    Sets of an older version or base seed are left out, as on the board.
    """
    from bench.cli.options import collect
    from bench.store.artifacts import Artifacts
    from bench.store.results import ResultStore
    from leaderboard.cells import counted, gather

    wanted = {"task": options.pop("task"), "method": options.pop("method"), "dpc": options.pop("dpc")}
    index = options.pop("index")
    store, artifacts = ResultStore(folder_of(out)), Artifacts(collect(options).cache)
    cells, left_out = gather(store.records(), store.cells())
    pass_on(store)
    finished = [record for cell in cells for record in cell.records if record.finished]
    names = _file_names(finished)
    by_set: dict[str, list[Record]] = defaultdict(list)
    for record in _choose(finished, wanted, out):
        by_set[record.set_key].append(record)
    by_set = {key: found for key, found in by_set.items() if index is None or _index(found) == index}
    if not by_set:
        raise UserError(f"{out} has no set {index} of these cells")
    folder = folder_of(to)
    others = _others(folder, {key: names[key] for key in by_set})
    gone = 0
    for key, records in by_set.items():
        shown = store.set(key)
        if shown is None:
            gone += 1
            continue
        rows = _rows(key, shown, artifacts)
        classes = store.task(records[0].task.revision).label_names
        lines = [json.dumps({**row, "label_name": classes[row["label"]]}, ensure_ascii=False) for row in rows]
        write_atomic(folder / f"{names[key]}.jsonl", "\n".join(lines) + "\n")
        write_atomic(folder / f"{names[key]}.md", safe(_card(names[key], shown, records, classes)))
    if gone:
        place = folder_of(out) / "sets"
        echo(f"bench: warning: {place} lacks {gone} of these sets: they are left out", err=True)
    if older := sum(left_out.values()):
        echo(f"left out, as on the board: {counted(older, 'record')} of other versions or base seeds", err=True)
    if others:
        echo(f"{folder} holds {others} more JSONL files, from before", err=True)
    echo(f"{counted(len(by_set) - gone, 'set')} written to {folder}")


def _choose(records: list[Record], wanted: dict[str, Any], out: str) -> list[Record]:
    from leaderboard.names import labels

    if not records:
        raise UserError(f"{out} has no finished result: run `bench run --out {out}` first")
    where = f"in {out}"
    kinds: tuple[Kind, ...] = ("task", "method")
    for kind in kinds:
        if (name := wanted[kind]) is not None:
            known = [(record.plugin(kind).label, record.plugin(kind).name) for record in records]
            chosen = labels(kind, [name], known, where)
            records = [record for record in records if record.plugin(kind).label in chosen]
            where += f" for {kind} {name}"
    if (dpc := wanted["dpc"]) is None:
        return records
    sizes = {"all" if size is None else str(size): size for size in sorted({r.dpc for r in records}, key=_by_size)}
    if dpc not in sizes:
        raise UserError(f"no dpc '{dpc}' {where}; it has {', '.join(sizes)}")
    return [record for record in records if record.dpc == sizes[dpc]]


def _by_size(dpc: int | None) -> tuple[bool, int]:
    return (dpc is None, dpc or 0)


def _index(records: list[Record]) -> int:
    """The index of the set that these records share."""
    return min(record.set for record in records)


def _rows(key: str, shown: SetCard, artifacts: Any) -> list[dict[str, Any]]:
    """All examples: from the cache, where their hash is known, or else from the readable copy when it has them all."""
    from bench.store.sets import example_rows, load_set

    cached = artifacts.get("set", key)
    if cached is not None:
        return example_rows(load_set(cached))
    if len(shown.rows) != shown.n:
        raise UserError(
            f"set {shown.set} of {shown.method} is damaged or no longer in the cache; run the same suite again"
        )
    return list(shown.rows)


def _file_names(records: list[Record]) -> dict[str, str]:
    """Set key -> name of its files: task, method, size and index, with a piece of the key where these are not enough.

    It depends on all sets of the folder, not on those that are chosen, so that a set keeps its name.
    """
    by_set: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_set[record.set_key].append(record)
    plain = {key: _file_name(found[0], _index(found)) for key, found in by_set.items()}
    uses = Counter(name.casefold() for name in plain.values())  # some file systems see no difference in case
    return {
        key: name if uses[name.casefold()] == 1 and len(name.encode()) <= LONGEST else f"{_cut(name)}-{key[:12]}"
        for key, name in plain.items()
    }


def _cut(name: str) -> str:
    return name.encode()[:LONGEST].decode(errors="ignore")


def _file_name(record: Record, index: int) -> str:
    size = f"dpc{record.dpc}" if record.dpc is not None else "all"
    words = (record.task.label, record.method.label, size, f"set{index}")
    return "-".join("".join(c if c.isalnum() or c in "._=" else "-" for c in word).strip("-") for word in words)


def _others(folder: Path, names: dict[str, str]) -> int:
    """How many JSONL files of the folder are not of this export. UserError before one of another set is replaced."""
    for key, name in names.items():
        if not (folder / f"{name}.jsonl").exists():
            continue
        card = folder / f"{name}.md"
        if (
            not card.is_file()
            or _identity_line(key) not in card.read_text(encoding="utf-8", errors="replace").splitlines()
        ):
            raise UserError(
                f"{folder / name}.jsonl is there already and of another set: delete it, or give another --to"
            )
    return len({path.stem for path in folder.glob("*.jsonl")} - set(names.values()))


def _identity_line(key: str) -> str:
    """The line of a card that tells whose it is."""
    return f"- identity of the set: {code_span(key)}"


def _card(name: str, shown: SetCard, records: list[Record], names: Sequence[str]) -> str:
    first = records[0]
    lines = [
        f"# {name}",
        "",
        f"{shown.n} examples of the task {code_span(shown.task)}, made by the method {code_span(shown.method)}"
        + (f" with {shown.dpc} examples a class" if shown.dpc is not None else "")
        + f" (set {shown.set}, seed {shown.seed}).",
        "",
        f"- fields: {', '.join(map(code_span, shown.fields))}",
        f"- `label` is an index into {', '.join(map(code_span, names))}",
        f"- method parameters: {code_span(json.dumps(first.method.params, sort_keys=True))}",
        f"- task parameters: {code_span(json.dumps(first.task.params, sort_keys=True))}",
        _identity_line(first.set_key),
        f"- seconds to make: {shown.seconds:.1f}",
    ]
    if shown.made_of:
        spent = ", ".join(f"{one.kind} {one.seconds:.1f}" for one in shown.made_of if one.seconds is not None)
        lines[-1] += f", and of what it shares with other sets: {spent}"
    if any("row" in row for row in shown.rows):
        lines.append(
            "- every example is a train row, copied word for word; `row` is its index in the task's train split "
            "(from 0, after splitting and caps), not a line number of the file that the data came from"
        )
    if shown.near_test is not None:
        lines.append(f"- examples that repeat a test text, nearly or word for word: {shown.near_test}")
    lines += ["", "Scores on the test split (nothing was chosen by them):", ""]
    by_student: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if record.score is not None:
            by_student[f"{record.student.label}, {record.metric}"].append(100 * record.score)
    for student, scores in by_student.items():
        lines.append(f"- {plain_text(student)}: {statistics.mean(scores):.1f} (mean of {len(scores)} runs)")
    lines += ["", "The texts keep the licence of the task's data (`bench info` names it).", ""]
    return "\n".join(lines)
