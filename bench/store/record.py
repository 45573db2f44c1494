"""What a result folder keeps, as types: records, planned cells, cards of tasks and sets. One schema for all four."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from bench.api import Metric
from bench.store.predictions import Predictions
from bench.store.typed import shown, typed

RECORD_SCHEMA: Final = 2  # of these four; the schema of keys is another number (bench.store.identity)

Status = Literal["ok", "failed", "timeout", "oom", "not_applicable", "not_run"]
League = Literal["A", "B", "C", "D"]
Kind = Literal["task", "method", "student"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Dpc = Annotated[int, Field(ge=1)]
Content = tuple[str, ...] | None  # SHA-256 of each file of a model's weights; None: it was not there to be read


@typed
class PluginRef:
    """A plugin with its parameters; `label` is what a reader sees: its name and the parameters that were set."""

    name: str
    label: str
    params: dict[str, Any]


@typed
class TaskRef(PluginRef):
    """`revision`: hash of the task's identity, under which its card is kept."""

    revision: str


@typed
class StudentRef(PluginRef):
    """`key`: hash of the student's identity; None in records that are too old to say."""

    key: str | None


@typed
class Seeds:
    """The suite's base seed, and those of the set and of the run that are derived from it."""

    base: int
    set: int
    run: int


@typed
class Memory:
    """The most bytes in use while something was computed: resident ones of the process, libraries and all, and those
    that torch had allocated on its GPU (None: it had none).
    """

    process: Count
    gpu: Count | None


@typed
class MadeOf:
    """An artifact that a set was made of, with the seconds that it took itself and its memory; None: nobody knows."""

    kind: str
    key: str
    seconds: Seconds | None
    memory: Memory | None = None


@typed
class Times:
    """When a replicate ended (ISO 8601, UTC), and what it took: seconds and memory of distilling its set, and of
    training and predicting. Another time they are others.
    """

    finished: str
    distil_s: Seconds | None
    student_s: Seconds
    made_of: tuple[MadeOf, ...] | None  # None: nobody noted it (old records, imported sets)
    distil_memory: Memory | None = None  # None: nobody knows
    student_memory: Memory | None = None


@typed
class Models:
    """The pretrained models behind a replicate, by reference, each with its content: what names its weights.

    Two are one when they share an entry of their contents, whatever their references are. `encoder`: whose vectors the
    set holds, if it has any.
    """

    method: dict[str, Content] | None  # what the method may have read; None: nobody knows (imported sets)
    encoder: dict[str, Content]
    student: dict[str, Content]


@typed
class Record:
    """One replicate: how it ended, what it was made of, and with status "ok" its score and predictions."""

    schema: Literal[2] = RECORD_SCHEMA
    key: str
    status: Status
    reason: str | None  # why it has no score
    cell: str
    suite: str
    task: TaskRef
    method: PluginRef
    student: StudentRef
    dpc: Dpc | None  # None: all data
    set: Count
    run: Count
    seed: Seeds
    set_key: str
    set_digest: str | None  # of the set's content; None when there is no set, and in old records
    near_test: Count | None  # examples of the set that repeat a test text; None when nobody counted
    league: League | None
    metric: Metric | None  # the entry of `metrics` that is the score
    score: Fraction | None
    metrics: dict[str, Fraction]
    metrics_code: str | None  # digest of the code that computed them; None in old records
    n_train: Count | None  # examples of the set
    n_bytes: Count | None = None  # of the set, of what the student read; None in old records
    chosen_on: str | None = None  # the rows that its method chose something by, as its sets say; None: they do not
    preparation: int | None = None  # seed of what its method's sets share (`MethodSpec.prepared_by`); None: it has none
    train_copies: Count | None = None  # examples of the set that are train rows, word for word; None: nobody counted
    models: Models | None = None  # None in old records
    predictions: Predictions | None
    time: Times
    environment: dict[str, str | None]  # names -> versions

    def __post_init__(self) -> None:
        if self.status != "ok":
            if self.score is not None or self.predictions is not None:
                raise ValueError(f"a score or predictions, but status {self.status}")
            return
        for name in ("league", "metric", "score"):
            if getattr(self, name) is None:
                raise ValueError(f"'{name}' is null, but status ok")
        if self.metrics.get(str(self.metric)) != self.score:
            raise ValueError(f"score {self.score}, but {self.metric} {shown(self.metrics.get(str(self.metric)))}")
        if self.predictions is None:
            raise ValueError("no predictions")

    @property
    def finished(self) -> bool:
        """Whether there is a score."""
        return self.status == "ok"

    def plugin(self, kind: Kind) -> PluginRef:
        """Its task, method or student."""
        found: PluginRef = getattr(self, kind)
        return found


@typed
class PlannedCell:
    """A cell of a suite's plan, by the labels that its row on the board has, with the keys of its replicates."""

    suite: str
    key: str
    task: str
    method: str
    student: str
    dpc: Dpc | None
    replicates: tuple[str, ...]


@typed
class TaskCard:
    """What is kept of a task revision: what a reader of its records needs, gold labels included."""

    schema: Literal[2] = RECORD_SCHEMA
    label: str
    fields: tuple[str, ...]
    label_names: tuple[str, ...]
    metric: Metric
    test_labels: tuple[int, ...]  # gold labels [n_test], numbers of `label_names`
    n_train: Count
    n_validation: Count
    n_test: Count
    class_counts: tuple[Count, ...]  # train rows of each class

    def __post_init__(self) -> None:
        n_classes = len(self.label_names)
        wrong = next((label for label in self.test_labels if not 0 <= label < n_classes), None)
        if wrong is not None:
            raise ValueError(f"gold label {wrong}, not in 0..{n_classes - 1}")
        if len(self.test_labels) != self.n_test:
            raise ValueError(f"{len(self.test_labels)} gold labels, but {self.n_test} test rows")


@typed
class SetCard:
    """The readable copy of a distilled set: its first rows and how it was made."""

    schema: Literal[2] = RECORD_SCHEMA
    task: str
    method: str
    dpc: Dpc | None
    set: Count
    seed: int
    n: Count  # examples of the set
    fields: tuple[str, ...]  # of text; none for a set without texts
    rows: tuple[dict[str, str | int], ...]  # `label`, text fields or `nearest`; `row` when copied from a train row
    diagnostics: dict[str, Any]
    near_test: Count | None
    set_digest: str | None
    seconds: Seconds
    made_of: tuple[MadeOf, ...] | None
    environment: dict[str, str | None] | None
    reports: tuple[str, ...]  # keys of the artifacts with a report that it was made of
    n_bytes: Count | None = None  # of what a student reads; None in old cards
    train_copies: Count | None = None
    memory: Memory | None = None

    @property
    def chosen_on(self) -> str | None:
        """What was chosen on which rows, as the method says (`diagnostics`)."""
        found = self.diagnostics.get("chosen_on")
        return found if found is None or isinstance(found, str) else json.dumps(found, sort_keys=True)
