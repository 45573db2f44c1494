"""Comparisons with published numbers and of two folders as markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from leaderboard.escape import plain_text
from leaderboard.figures import NOTHING, difference_text, percent, published_score, short_score
from leaderboard.ledger import Ledger
from leaderboard.moves import Move, Moves
from leaderboard.replication import Replication
from leaderboard.row import dpc_text

NAMED = 10  # cells of one folder alone


def published_text(found: Sequence[Replication], ledger: Ledger, margin: float) -> str:
    """Every row against its published number, why some are not comparable, and how to read it."""
    lines = [f"# Against {plain_text(ledger.id)}", "", plain_text(ledger.cite), ""]
    compared = [each for each in found if each.verdict not in ("not comparable", "not published")]
    if compared:
        heads = ("task", "dpc", "method", "student", "ours, %", "published, %", "where", "verdict")
        lines += [_table(heads, [_line(each) for each in compared]), ""]
    lines += _not_comparable(found)
    unknown = dict.fromkeys(each.row.method for each in found if each.verdict == "not published")
    if unknown:
        lines += [f"No number of {ledger.id} for: {', '.join(map(plain_text, unknown))}.", ""]
    how = [
        f"- agrees, differs: the 90 % interval of ours less published lies within, or wholly beyond, {percent(margin)} "
        "points (two one-sided Welch tests, each at 5 %); undecided: neither. It is over sets (or preparations), on "
        "the same test rows. "
        "The whole published deviation is taken to lie between sets: a paper prints no other part of it."
    ]
    lines += how if compared else []
    lines += [
        "- not comparable: the fields that differ from the nearest number; train rows within 2 % count as the same. "
        f"Published ±: {ledger.spread}; scored on: {ledger.scored_on}; chosen on: {ledger.chosen_on}.",
    ]
    return "\n".join(lines) + "\n"


def _line(each: Replication) -> tuple[str, ...]:
    row, number = each.row, each.number
    assert number is not None
    return (
        row.task,
        row.size,
        row.method,
        row.student,
        short_score(row),
        published_score(number),
        number.where,
        _verdict(each),
    )


def _verdict(each: Replication) -> str:
    found = each.agreement
    if found is None:
        return f"undecided: {each.reason}"
    text = (
        f"{found.verdict}: {percent(found.difference, True)} [{percent(found.low, True)}, {percent(found.high, True)}]"
    )
    if found.verdict != "undecided":
        return text
    if found.further is None:
        return f"{text}; no number of sets would decide"
    what = "preparation" if each.row.scores.preparations else "set"
    return f"{text}; {found.further} more {what}{'s' * (found.further != 1)} would decide, if nothing else changed"


def _not_comparable(found: Sequence[Replication]) -> list[str]:
    """One line for all rows that differ from what is published in the same way."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for each in found:
        if each.verdict == "not comparable":
            row = each.row
            groups.setdefault(tuple(map(str, each.mismatches)), []).append(
                f"{row.task} {dpc_text(row.dpc)} {row.method} {row.student}"
            )
    if not groups:
        return []
    lines = ["## Not comparable", ""]
    for mismatches, rows in groups.items():
        lines.append(f"- {plain_text('; '.join(rows))}: {plain_text('; '.join(mismatches))}.")
    return [*lines, ""]


def moves_text(found: Moves, names: tuple[str, str]) -> str:
    """Every cell that two folders share, and what else differs between them."""
    one, other = map(plain_text, names)
    lines = [f"# {one} and {other}", ""]
    if found.cells:
        heads = ("task", "dpc", "method", "student", "same sets", "same answers", "second less first, %", "verdict")
        lines += [_table(heads, [_moved(cell) for cell in found.cells]), ""]
    notes = [] if found.cells else ["No cell with a score is in both."]
    notes += [f"{task}: other test rows: compared with nothing." for task in found.other_data]
    for name, alone in zip((one, other), found.alone, strict=True):
        more = f" and {len(alone) - NAMED} more" if len(alone) > NAMED else ""
        notes += [f"Only in {name}: {'; '.join(alone[:NAMED])}{more}."] if alone else []
    notes += [f"Environment, {line}." for line in found.environment]
    notes.append(
        "same: every replicate that both have gave each test row the same label; moved: the paired difference is "
        "separated from zero (95 %, over sets and test rows); not separated: answers changed, and no more can be "
        "said; undecided: fewer than 3 different sets (or preparations)."
    )
    return "\n".join([*lines, *(f"- {plain_text(note)}" for note in notes)]) + "\n"


def _moved(cell: Move) -> tuple[str, ...]:
    task, student, dpc, method = cell.names
    said = difference_text(cell.difference).rsplit(" ", 1)[0] if cell.difference and cell.verdict != "same" else NOTHING
    counts = (NOTHING if n is None else f"{n}/{cell.replicates}" for n in (cell.equal_sets, cell.equal))
    return (task, "all" if dpc is None else str(dpc), method, student, *counts, said, cell.verdict)


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    body = [[plain_text(cell) for cell in line] for line in lines]
    return tabulate(body, heads, tablefmt="pipe", disable_numparse=True)
