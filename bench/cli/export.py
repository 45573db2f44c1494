"""`bench export`: distilled sets as JSONL, with their arrays as safetensors, each with a card."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.api import DistilledSet
from bench.arguments import folder_of
from bench.cli.card import card, identity_line
from bench.cli.options import collect, result_folder, settings_options
from bench.errors import UserError
from bench.output import echo
from bench.session import pass_on
from bench.store.files import write_atomic
from bench.store.portable import SUFFIX, has_arrays, write_portable
from bench.store.record import Kind, Record, SetCard
from bench.store.text import shown as safe

LONGEST = 180  # bytes of a file name, of 255 that a file system takes


@click.command("export", short_help="Write distilled sets as files.")
@result_folder
@click.option("--task", metavar="NAME", help="Only this task, as the board or `bench run` names it.")
@click.option("--method", metavar="NAME", help="Only this method.")
@click.option("--dpc", metavar="N", help="Only this number of examples a class, or 'all' (data).")
@click.option("--set", "index", type=click.IntRange(0), help="Only this set index.")
@click.option("--to", default="bench-export", show_default=True, metavar="DIR", help="Where the files go.")
@settings_options
def command(out: str, to: str, **options: Any) -> None:
    """Write the distilled sets of a result folder: one JSONL file a set, and beside it a card in markdown.

    A set with soft labels or of the embedding level is a safetensors file too, whole, which `bench score` reads;
    its JSONL is then for people.

    Sets of an older version or base seed are left out, as on the board.
    """
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
        whole = _whole(key, shown, records, artifacts)
        classes = store.task(records[0].task.revision).label_names
        _write(folder, names[key], whole, shown, classes)
        text = card(names[key], shown, records, classes, whole)
        write_atomic(folder / f"{names[key]}.md", safe(text))
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


def _whole(key: str, shown: SetCard, records: list[Record], artifacts: Any) -> DistilledSet | None:
    """The set from the cache, where its hash is known; None when its readable copy has all that students trained on."""
    from bench.store.sets import load_set

    cached = artifacts.get("set", key)
    if cached is not None:
        return load_set(cached)
    if len(shown.rows) != shown.n or any(record.league != "A" for record in records):
        raise UserError(
            f"set {shown.set} of {shown.method} is not in the cache {artifacts.root.parent} or damaged there: if the "
            "run had another --cache, give it here too, else run the same again"
        )
    return None


def _write(folder: Path, name: str, whole: DistilledSet | None, shown: SetCard, classes: Sequence[str]) -> None:
    """The readable file of a set, and the one of its arrays when it has some."""
    from bench.store.sets import shown_rows

    rows = shown_rows(whole) if whole is not None else list(shown.rows)
    lines = [json.dumps({**row, "label_name": classes[int(row["label"])]}, ensure_ascii=False) for row in rows]
    write_atomic(folder / f"{name}.jsonl", "\n".join(lines) + "\n")
    arrays = folder / f"{name}{SUFFIX}"
    if whole is not None and has_arrays(whole):
        write_portable(arrays, whole, classes)
    else:
        arrays.unlink(missing_ok=True)  # of an export before, when the set had other content


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
        there = next((end for end in (".jsonl", SUFFIX) if (folder / f"{name}{end}").exists()), None)
        if there is None:
            continue
        beside = folder / f"{name}.md"
        if (
            not beside.is_file()
            or identity_line(key) not in beside.read_text(encoding="utf-8", errors="replace").splitlines()
        ):
            raise UserError(
                f"{folder / name}{there} is there already and of another set: delete it, or give another --to"
            )
    return len({path.stem for path in folder.glob("*.jsonl")} - set(names.values()))
