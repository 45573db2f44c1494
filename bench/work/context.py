"""The context that the engine lends to a job (see `bench.api.Context`)."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import seeds
from bench.api import Part, Queries, TaskData, TrainData
from bench.data.assets import Assets
from bench.discovery import cause, contained
from bench.environment import environment
from bench.errors import PluginError, UserError
from bench.identities import features_code, made_by
from bench.jobs import plain
from bench.store.artifacts import Artifacts
from bench.store.code import find
from bench.store.identity import key_of
from bench.store.reports import REPORT, load_report
from bench.work.memory import Peak
from bench.work.meter import Meter

if TYPE_CHECKING:
    import numpy as np

Progress = Callable[[int, int, str], None]


class JobContext:
    """One job's seed, device, assets and caches.

    `data` is what the job may see of its task: features of a split can be asked for only when it holds it.
    `made_by` is the code of the plugin that the job runs (`bench.identities.made_by`): what it caches belongs to that.
    `who` runs in it, and may ask for the assets in `allowed` (None: for any); `engine()` surrounds what the engine
    computes for it, so that no setting of the plugin reaches what other jobs share. `rows()` gives `rows_digest` of
    `data` to those who keep it. `unlabelled`: train texts, for a student that may ask for some. `peak`: of the
    job's memory.
    """

    def __init__(
        self,
        assets: Assets,
        artifacts: Artifacts,
        *,
        seed: int = 0,
        device: str = "cpu",
        data: TaskData | TrainData | Queries | None = None,
        task_identity: Mapping[str, Any] | None = None,
        made_by: Mapping[str, str] | None = None,
        on_progress: Progress | None = None,
        who: str = "this job",
        allowed: Collection[str] | None = None,
        engine: Callable[[], AbstractContextManager[None]] = nullcontext,
        rows: Callable[[], str] | None = None,
        unlabelled: Mapping[str, Sequence[str]] | None = None,
        peak: Peak | None = None,
    ) -> None:
        self._assets = assets
        self._artifacts = artifacts
        self.seed = seed
        self.common_seed = 0  # of a set's job
        self.device = device
        self.data = data
        self._task_identity = task_identity
        self._unlabelled = unlabelled
        self._made_by = [dict(made_by or {})]  # of the plugin, then of the artifacts that are being built
        self._on_progress = on_progress
        self._who = who
        self._allowed = allowed
        self._engine = engine
        self._rows_digest = rows
        self.reports: dict[str, str] = {}  # key -> kind of each artifact with a report that the job has used
        self._peak = peak
        self.meter = Meter()  # whose seconds pass, and what the job's result is made of

    def derive(self, *purpose: str | int) -> int:
        """A further seed in [0, 2**32) for a named purpose of this job."""
        return seeds.derive(self.seed, *purpose)

    def rng(self, *purpose: str | int) -> np.random.Generator:
        """A numpy generator for a named purpose of this job."""
        return seeds.generator(self.seed, *purpose)

    def asset(self, ref: str) -> Path:
        """The folder (or file) of an asset; fetched when it is not there and the network is allowed."""
        self._check_declared(ref)
        return self._assets.fetch(ref)

    def _check_declared(self, ref: str) -> None:
        if self._allowed is not None and ref not in self._allowed:
            known = f" (it declares {', '.join(sorted(self._allowed))})" if self._allowed else ""
            raise PluginError(
                f"{self._who} asks for the asset '{ref}', which its spec does not declare{known}: add it to `assets` "
                "of the spec, so that it is fetched and stands in the identity"
            )

    def asset_identity(self, ref: str) -> dict[str, Any]:
        """What identifies the asset's content: for the `fields` of an artifact made from it."""
        return self._assets.identity(ref)

    def _texts(self, split: str) -> Mapping[str, Sequence[str]]:
        if isinstance(self.data, TrainData) and split in {"train", "validation"}:
            return self.data.train.texts if split == "train" else self.data.validation.texts
        if isinstance(self.data, Queries) and split == "test":
            return self.data.texts
        raise UserError(f"this job has no access to the split '{split}'")

    def features(self, split: str, encoder: str, pooling: str = "cls", max_length: int = 512) -> np.ndarray:
        """Frozen-encoder features of a split, float32 [N, d], memory-mapped, computed once for all jobs."""
        import numpy as np

        from bench.data import features

        self._demand_features_code()
        texts = self._texts(split)
        self._check_declared(encoder)
        if pooling not in features.POOLINGS:
            raise UserError(f"no pooling '{pooling}'; known: {', '.join(features.POOLINGS)}")

        def build(folder: Path) -> None:
            for name, array in self._encode(texts, encoder, max_length).items():
                np.save(folder / f"{name}.npy", array, allow_pickle=False)

        fields = {
            "task": self._task_identity,
            "split": split,
            "encoder": self._assets.identity(encoder),
            "max_length": max_length,
            "made_by": features_code(),
            "device": self._device_type(),  # and with it the precision: bf16 on CUDA differs by 1e-2
        }
        folder = self._make("features", fields, build)
        found: np.ndarray = np.load(folder / f"{pooling}.npy", mmap_mode="r", allow_pickle=False)
        return found

    def embed(
        self, texts: Mapping[str, Sequence[str]], encoder: str, pooling: str = "cls", max_length: int = 512
    ) -> np.ndarray:
        """The same features for other texts, float32 [N, d], not cached."""
        self._demand_features_code()
        return self._encode(texts, encoder, max_length)[pooling]

    def _encode(self, texts: Mapping[str, Sequence[str]], encoder: str, max_length: int) -> dict[str, np.ndarray]:
        from bench.data import features

        folder = self.asset(encoder)
        progress = partial(self.progress, what=f"features ({encoder})")
        with self._engine():
            return features.encode(folder, texts, tuple(texts), max_length, self.device, progress=progress)

    def train_texts(self, n: int) -> dict[str, list[str]]:
        """n train texts without their labels, drawn by the job's seed; all of them where there are fewer."""
        if self._unlabelled is None:
            raise PluginError(
                f"{self._who} asked for train texts: only a student whose spec says train_texts gets them"
            )
        if self._made_by[-1] and "train_texts" not in self._made_by[-1]:
            raise PluginError(
                "train texts were asked for by code that does not show it, so they would be missing from its key: "
                "write ctx.train_texts(...) in the plugin's own source"
            )
        total = len(next(iter(self._unlabelled.values())))
        rows = self.rng("train texts").permutation(total)[:n]
        return {name: [texts[row] for row in rows] for name, texts in self._unlabelled.items()}

    def artifact(
        self, kind: str, fields: Mapping[str, Any], build: Callable[[Path], None], code: str | None = None
    ) -> Path:
        """A folder in the cache, addressed by `kind`, `fields`, code and device; `build(folder)` fills it once."""
        address = self._address(fields, code)

        def checked(folder: Path) -> None:
            self._made_by.append(address["made_by"])
            try:
                build(folder)
            finally:
                self._made_by.pop()
            load_report(folder, kind)  # refuses a bad one before it is kept

        return self._used(kind, key_of({"kind": kind, **address}), self._make(kind, address, checked))

    def find(self, kind: str, fields: Mapping[str, Any], code: str | None = None) -> Path | None:
        """The finished artifact with this address, or None."""
        key = key_of({"kind": kind, **self._address(fields, code)})
        folder = self._artifacts.get(kind, key)
        return None if folder is None else self._used(kind, key, folder)

    def workspace(self, kind: str, fields: Mapping[str, Any], code: str | None = None) -> AbstractContextManager[Path]:
        """A folder for checkpoints on the way to this artifact: exclusive, kept over crashes, gone once it is made."""
        return self._metered(kind, key_of({"kind": kind, **self._address(fields, code)}))

    @cached_property
    def _rows(self) -> str:
        """Digest of the train and validation rows that the job may see."""
        if not isinstance(self.data, TrainData):
            raise UserError("this job has no access to the train rows that parts are made from")
        return rows_digest(self.data) if self._rows_digest is None else self._rows_digest()

    def address(self, part: Part) -> tuple[str, dict[str, Any], str]:
        """Kind, fields and code of a part's artifact."""
        fields = {
            name: self.asset_identity(value) if name in part.assets else value for name, value in part.fields.items()
        }
        needs = [
            key_of({"kind": kind, **self._address(found, code)}) for kind, found, code in map(self.address, part.needs)
        ]
        about = {"part": fields, "together": part.together, "rows": self._rows, "needs": needs}
        return part.kind, about, part.make.partition(":")[0]

    def part(self, part: Part) -> Path:
        """The folder of a part; made here and now, with what it needs, when no job has made it."""
        folder = self.find(*self.address(part))
        if folder is None:
            self._make_with_needs(part)
            folder = self.find(*self.address(part))
            assert folder is not None
        return folder

    def _make_with_needs(self, part: Part) -> None:
        """Make a part as jobs of their own would: nothing of how it is made is noted of this job."""
        aside = copy.copy(self)
        aside.reports = {}
        with self.meter.working():
            for need in part.needs:
                if aside.find(*aside.address(need)) is None:
                    aside._make_with_needs(need)
        for error in aside.make_parts([part]).values():
            raise error

    def make_parts(self, parts: Sequence[Part]) -> dict[int, Exception]:
        """Make those of these parts of one `make` that are absent, by one call; the errors, by position.

        What they need is made. They get a context of their own, so that they are the same whoever asks for them.
        """
        with self.meter.working():  # what they cost is theirs, and what they find belongs to no set
            absent = [number for number, part in enumerate(parts) if self.find(*self.address(part)) is None]
            if not absent:
                return {}
            todo = [parts[number] for number in absent]
            errors = _function(todo[0])(todo, self.data, self._for_parts(todo))
            if not isinstance(errors, Mapping):
                raise PluginError(f"{todo[0].make} gave {type(errors).__name__}, not a mapping of errors")
            found = {absent[number]: error for number, error in errors.items()}
            for number in absent:
                if number not in found and self.find(*self.address(parts[number])) is None:
                    what = f"the part '{parts[number].kind}' that it was asked for"
                    found[number] = PluginError(f"{parts[number].make} did not make {what}")
        return found

    def _for_parts(self, parts: Sequence[Part]) -> JobContext:
        """The context in which parts are made: nothing of it depends on the job."""
        refs = frozenset(ref for part in parts for ref in part_assets(part))
        for ref in refs:
            self._check_declared(ref)
        lent = copy.copy(self)
        lent.seed, lent.common_seed = self._part_seed(parts[0]), 0
        lent.reports = {}
        lent._made_by = [made_by(parts[0].make.partition(":")[0])]
        lent._allowed = refs
        lent._who = f"the part '{parts[0].kind}'"
        return lent

    def _part_seed(self, part: Part) -> int:
        """A part's own seed, or the one seed of those that are made together, whichever are absent."""
        own = [part.make, part.together, self._rows] if part.together else list(self.address(part))
        return seeds.derive("part", key_of(own))

    @contextmanager
    def _metered(self, kind: str, key: str) -> Iterator[Path]:
        with ExitStack() as stack:
            with self.meter.working():  # another process may hold it
                folder = stack.enter_context(self._artifacts.workspace(kind, key))
            stack.enter_context(self.meter.workspace(key, folder))
            yield folder

    def _make(self, kind: str, fields: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        key = key_of({"kind": kind, **fields})

        def timed(folder: Path) -> None:
            with self.meter.working(key):
                build(folder)

        def about() -> dict[str, Any]:
            memory = {} if self._peak is None else {"memory": plain(self._peak.read())}
            return {"environment": environment(self.device), **self.meter.about(key), **memory}

        with self.meter.working():  # another process may be making it
            folder = self._artifacts.make(kind, fields, timed, key, about)
        self.meter.use(kind, key)
        return folder

    def _address(self, fields: Mapping[str, Any], code: str | None) -> dict[str, Any]:
        """What an artifact is found by: the author's fields, the code that makes it, the type of the device."""
        if code is not None and find(code) is None:
            raise PluginError(f"an artifact is said to be made by '{code}', which is no module with source")
        device = self._device_type()
        if code is not None:
            return {"fields": dict(fields), "made_by": made_by(code), "device": device}
        # What a plugin keeps for itself is of the rows that it saw, whether its fields say so or not.
        seen = self._rows if isinstance(self.data, TrainData) else key_of(self._task_identity)
        return {"fields": dict(fields), "seen": seen, "made_by": self._made_by[0], "device": device}

    def _device_type(self) -> str:
        return self.device.partition(":")[0]

    def _demand_features_code(self) -> None:
        """Refuse features to code whose key does not show that it uses them."""
        if self._made_by[-1] and "features" not in self._made_by[-1]:
            raise PluginError(
                "features were asked for by code that does not show it, so they would be missing from its key: "
                "write ctx.features(...) or ctx.embed(...) in the plugin's own source"
            )

    def _used(self, kind: str, key: str, folder: Path) -> Path:
        self.meter.use(kind, key)
        if (folder / REPORT).is_file():
            self.reports[key] = kind
        return folder

    def progress(self, done: int, total: int, what: str = "") -> None:
        """Pass the progress of a long job on to the runner."""
        self.meter.tick()
        if self._on_progress is not None:
            self._on_progress(done, total, what)


def rows_digest(data: TrainData) -> str:
    """Hex SHA-256 of what parts are made from: names of fields and classes, metric, train and validation rows."""
    info, splits = data.info, (data.train, data.validation)
    rows = [[[list(split.texts[name]) for name in info.fields], split.labels.tolist()] for split in splits]
    return key_of([list(info.fields), list(info.label_names), info.metric, rows])


def part_assets(part: Part) -> frozenset[str]:
    """The assets that a part and what it needs are made from."""
    own = {str(part.fields[name]) for name in part.assets}
    return frozenset(own).union(*map(part_assets, part.needs))


def _function(part: Part) -> Callable[..., Any]:
    """What makes a part. Raises PluginError with the real cause."""
    module, _, name = part.make.partition(":")
    try:
        with contained():
            found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise PluginError(f"the part '{part.kind}' cannot be made by {part.make}: {cause(error)}") from error
    return found
