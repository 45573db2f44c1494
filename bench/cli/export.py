"""`bench export`: distilled sets as JSONL, each with a card."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from typing import Any

import click

from bench.cli.options import settings_options
from bench.cli.workspace import output_folder
from bench.errors import UserError
from bench.store.files import write_atomic

Record = dict[str, Any]


@click.command("export", short_help="Write distilled sets as JSONL.")
@click.argument("out", default="bench-out")
@click.option("--task", metavar="NAME", help="Only this task, as the board or `bench run` names it.")
@click.option("--method", metavar="NAME", help="Only this method.")
@click.option("--dpc", metavar="N", help="Only this number of examples a class, or 'all' (data).")
@click.option("--set", "index", type=click.IntRange(0), help="Only this set index.")
@click.option("--to", default="bench-export", show_default=True, metavar="DIR", help="Where the files go.")
@settings_options
def command(out: str, to: str, **options: Any) -> None:
    """Write the distilled sets of a result folder: one JSONL file a set, and beside it a card in markdown."""
    from bench.cli.options import collect
    from bench.store.artifacts import Artifacts
    from bench.store.results import ResultStore

    wanted = {"task": options.pop("task"), "method": options.pop("method"), "dpc": options.pop("dpc")}
    index = options.pop("index")
    store, artifacts = ResultStore(output_folder(out)), Artifacts(collect(options).cache)
    chosen = _choose([record for record in store.records() if record["status"] == "ok"], wanted, out)
    by_set: dict[str, list[Record]] = defaultdict(list)
    for record in chosen:
        by_set[record["set_key"]].append(record)
    folder, written = output_folder(to), 0
    for key, records in by_set.items():
        shown = store.set(key)
        if shown is None or (index is not None and shown["set"] != index):
            continue
        rows = _rows(key, shown, artifacts)
        name = _file_name(shown)
        names = store.task(records[0]["task"]["revision"])["label_names"]
        lines = [json.dumps({**row, "label_name": names[row["label"]]}, ensure_ascii=False) for row in rows]
        write_atomic(folder / f"{name}.jsonl", "\n".join(lines) + "\n")
        write_atomic(folder / f"{name}.md", _card(name, shown, records, names))
        written += 1
    if not written:
        raise UserError(f"{out} has no set {index} of these cells")
    click.echo(f"{written} sets written to {folder}")


def _choose(records: list[Record], wanted: dict[str, Any], out: str) -> list[Record]:
    from leaderboard.names import labels

    if not records:
        raise UserError(f"{out} has no finished result: run `bench run --out {out}` first")
    where = f"in {out}"
    for kind in ("task", "method"):
        if (name := wanted[kind]) is not None:
            known = [(record[kind]["label"], record[kind]["name"]) for record in records]
            chosen = labels(kind, [name], known, where)
            records = [record for record in records if record[kind]["label"] in chosen]
            where += f" for {kind} {name}"
    if (dpc := wanted["dpc"]) is None:
        return records
    sizes = {"all" if size is None else str(size): size for size in sorted({r["dpc"] for r in records}, key=_by_size)}
    if dpc not in sizes:
        raise UserError(f"no dpc '{dpc}' {where}; it has {', '.join(sizes)}")
    return [record for record in records if record["dpc"] == sizes[dpc]]


def _by_size(dpc: int | None) -> tuple[bool, int]:
    return (dpc is None, dpc or 0)


def _rows(key: str, shown: dict[str, Any], artifacts: Any) -> list[dict[str, Any]]:
    if len(shown["rows"]) == shown["n"]:
        found: list[dict[str, Any]] = shown["rows"]
        return found
    from bench.store.sets import example_rows, load_set

    cached = artifacts.get("set", key)
    if cached is None:
        raise UserError(f"set {shown['set']} of {shown['method']} is no longer in the cache; run the same suite again")
    return example_rows(load_set(cached))


def _file_name(shown: dict[str, Any]) -> str:
    size = f"dpc{shown['dpc']}" if shown["dpc"] is not None else "all"
    words = (shown["task"], shown["method"], size, f"set{shown['set']}")
    return "-".join("".join(c if c.isalnum() or c in "._=" else "-" for c in word).strip("-") for word in words)


def _card(name: str, shown: dict[str, Any], records: list[Record], names: list[str]) -> str:
    first = records[0]
    lines = [
        f"# {name}",
        "",
        f"{shown['n']} examples of the task `{shown['task']}`, made by the method `{shown['method']}`"
        + (f" with {shown['dpc']} examples a class" if shown["dpc"] is not None else "")
        + f" (set {shown['set']}, seed {shown['seed']}).",
        "",
        f"- fields: {', '.join(f'`{field}`' for field in shown['fields'])}; `label` is an index into {names}",
        f"- method parameters: `{json.dumps(first['method']['params'], sort_keys=True)}`",
        f"- task parameters: `{json.dumps(first['task']['params'], sort_keys=True)}`",
        f"- identity of the set: `{first['set_key']}`",
        f"- seconds to make: {shown['seconds']:.1f}",
    ]
    if parts := shown.get("made_of"):
        spent = ", ".join(f"{one['kind']} {one['seconds']:.1f}" for one in parts if one["seconds"] is not None)
        lines[-1] += f", and of what it shares with other sets: {spent}"
    if any("row" in row for row in shown["rows"]):
        lines.append(
            "- every example is a train row, copied word for word; `row` is its index in the task's train split "
            "(from 0, after splitting and caps), not a line number of the file that the data came from"
        )
    if (near := shown.get("near_test")) is not None:
        lines.append(f"- examples that repeat a test text, nearly or word for word: {near}")
    lines += ["", "Scores on the test split (nothing was chosen by them):", ""]
    by_student: dict[str, list[float]] = defaultdict(list)
    for record in records:
        by_student[f"{record['student']['label']}, {record['metric']}"].append(100 * record["score"])
    for student, scores in by_student.items():
        lines.append(f"- {student}: {statistics.mean(scores):.1f} (mean of {len(scores)} runs)")
    lines += ["", "The texts keep the licence of the task's data (`bench info` names it).", ""]
    return "\n".join(lines)
