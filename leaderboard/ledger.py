"""Published numbers with the protocol that they were measured by: one TOML file a source, checked field by field."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from bench.errors import UserError, did_you_mean
from bench.store.files import regular_file
from bench.store.record import League, Metric
from bench.store.typed import reason, typed

SUFFIX = ".toml"
NOTHING = "null"  # TOML has no word for it

Count = Annotated[int, Field(ge=1, lt=2**53)]
Percent = Annotated[float, Field(ge=0, le=100)]
Scalar = str | int | float | bool
Params = dict[str, Scalar | list[Scalar]]  # a list: any of these is the published setting


@typed
class TaskFacts:
    """A task as the source had it."""

    metric: Metric
    train_rows: Count
    test_rows: Count


@typed
class Setting:
    """A method or student of the source. name: of ours, "" for the one it stands under here.

    params: the values that the source states, of our parameters; unstated: what it does not state and would change the
    number. sets, runs: where they differ from the source's own.
    """

    name: str = ""
    league: League = "A"
    params: Params = Field(default_factory=dict)
    unstated: list[str] = Field(default_factory=list)
    sets: Count | None = None
    runs: Count | None = None


@typed
class Line:
    """Scores of one method, a number for each dpc; without dpc, of all data."""

    table: str
    task: str
    method: str
    student: str
    dpc: list[Count] = Field(default_factory=list)
    score: list[Percent]
    deviation: list[Percent] = Field(default_factory=list)


@typed
class Content:
    """A file. spread: what its deviations are; chosen_on: the rows that settings and checkpoints were chosen on."""

    schema: Literal[1]
    id: str
    cite: str
    sets: Count
    runs: Count
    spread: str
    scored_on: str
    chosen_on: str
    tasks: dict[str, TaskFacts]
    students: dict[str, Setting]
    methods: dict[str, Setting]
    numbers: list[Line]


CONTENT = TypeAdapter(Content)


@dataclass(frozen=True)
class Number:
    """A published score and its protocol. Scores are fractions; dpc is None for all data."""

    source: str  # id of the ledger
    table: str
    task: str
    facts: TaskFacts
    dpc: int | None
    method: str  # as the ledger calls it
    student: str
    method_name: str  # ours
    student_name: str
    method_setting: Setting
    student_setting: Setting
    score: float
    deviation: float | None  # between runs; None where none is printed
    sets: int
    runs: int  # a set

    @property
    def where(self) -> str:
        """`dilm-2024 Table 1`."""
        return f"{self.source} {self.table}"


Verdict = Literal["agrees", "differs", "undecided", "not comparable", "not published"]


@dataclass(frozen=True)
class Mark:
    """A published number beside a row, and how the two stand to each other."""

    number: Number
    verdict: Verdict


@dataclass(frozen=True)
class Ledger:
    """The published numbers of one source."""

    id: str
    cite: str
    spread: str
    scored_on: str
    chosen_on: str
    numbers: tuple[Number, ...]


def ledgers() -> list[str]:
    """The sources that come with the project."""
    return [path.name.removesuffix(SUFFIX) for path in _files()]


def load(name_or_path: str) -> Ledger:
    """A source by its name, or a file of one's own. Raises UserError with the line and the field that is wrong."""
    path = next((each for each in _files() if each.stem == name_or_path), None)
    if path is None:
        path = Path(name_or_path).expanduser()
        if path.suffix != SUFFIX and not path.is_file():
            mend = did_you_mean(name_or_path, ledgers())
            known = ", ".join(ledgers())
            raise UserError(f"no published numbers '{name_or_path}' (known: {known}; or a file of one's own){mend}")
    try:
        text = regular_file(path, "file of published numbers").read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    try:
        return _ledger(CONTENT.validate_json(json.dumps(tomllib.loads(text), default=str)), path, text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is no TOML: {error}") from None
    except ValidationError as error:
        loc = error.errors(include_url=False)[0]["loc"]
        raise UserError(f"{path} line {line_of(text, loc)}: {reason(error)}") from None


def _files() -> list[Path]:
    folder = Path(str(resources.files("leaderboard"))) / "published"
    return sorted(folder.glob(f"*{SUFFIX}"))


def _ledger(content: Content, path: Path, text: str) -> Ledger:
    found: list[Number] = []
    seen: set[tuple[str, str, int | None, str, str]] = set()
    for place, line in enumerate(content.numbers):
        for what in ("task", "method", "student"):
            known = getattr(content, f"{what}s")
            if (name := getattr(line, what)) not in known:
                at = line_of(text, ("numbers", place, what))
                raise UserError(f"{path} line {at}: {what} = '{name}': no [{what}s.{name}]{did_you_mean(name, known)}")
        counts = {"score": len(line.score), "deviation": len(line.deviation) or len(line.score)}
        for what, n in counts.items():
            if n != (len(line.dpc) or 1):
                at = line_of(text, ("numbers", place, what))
                raise UserError(f"{path} line {at}: {n} values of '{what}' for {len(line.dpc) or 1} of 'dpc'")
        for number in _numbers(content, line):
            name = (number.table, number.task, number.dpc, number.method, number.student)
            if name in seen:
                size = "all data" if number.dpc is None else f"dpc {number.dpc}"
                said = f"a second number for {number.task} {size} {number.method} {number.student} in {number.table}"
                raise UserError(f"{path} line {line_of(text, ('numbers', place))}: {said}")
            seen.add(name)
            found.append(number)
    if found and all(number.score <= 0.01 for number in found):
        raise UserError(f"{path}: all scores are at most 1: they are to be in percent")
    return Ledger(content.id, content.cite, content.spread, content.scored_on, content.chosen_on, tuple(found))


def _numbers(content: Content, line: Line) -> Iterator[Number]:
    method, student = content.methods[line.method], content.students[line.student]
    for place, dpc in enumerate(line.dpc or [None]):
        yield Number(
            source=content.id,
            table=line.table,
            task=line.task,
            facts=content.tasks[line.task],
            dpc=dpc,
            method=line.method,
            student=line.student,
            method_name=method.name or line.method,
            student_name=student.name or line.student,
            method_setting=method,
            student_setting=student,
            score=_fraction(line.score[place]),
            deviation=_fraction(line.deviation[place]) if line.deviation else None,
            sets=method.sets or content.sets,
            runs=method.runs or content.runs,
        )


def _fraction(percent: float) -> float:
    return round(percent / 100, 10)  # 2.6 / 100 is not 0.026


def line_of(text: str, loc: Sequence[Any]) -> int:
    """The line of a field in a TOML file that can be read; of the table that lacks it; 1 where it is the file itself.

    loc: names of tables and keys and places in arrays of tables, from the outside.
    """
    lines, start, table = text.splitlines(), 0, ""
    for depth, part in enumerate(loc):
        following = loc[depth + 1] if depth + 1 < len(loc) else None
        if isinstance(following, int) and (heads := _at(lines, rf"\s*\[\[{re.escape(str(part))}\]\]")):
            start, table = heads[following], str(part)
        elif isinstance(part, str):
            table = f"{table}.{part}" if table else part
            heads = _at(lines, rf"\s*\[{re.escape(table)}\]")
            keys = [n for n in _at(lines, rf"\s*{re.escape(part)}\s*=") if n >= start]
            start = heads[0] if heads else keys[0] if keys else start
    return start + 1


def _at(lines: Sequence[str], pattern: str) -> list[int]:
    return [number for number, line in enumerate(lines) if re.match(pattern, line)]
