"""The context that the engine lends to a job (see `bench.api.Context`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import seeds
from bench.api import Queries, TaskData, TrainData
from bench.data.assets import Assets
from bench.environment import environment
from bench.errors import UserError
from bench.meter import Meter
from bench.store.artifacts import Artifacts
from bench.store.identity import key_of
from bench.store.reports import REPORT, load_report

if TYPE_CHECKING:
    import numpy as np

Progress = Callable[[int, int, str], None]


class JobContext:
    """One job's seed, device, assets and caches.

    `data` is what the job may see of its task: features of a split can be asked for only when it holds it.
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
        on_progress: Progress | None = None,
    ) -> None:
        self._assets = assets
        self._artifacts = artifacts
        self.seed = seed
        self.device = device
        self.data = data
        self._task_identity = task_identity
        self._on_progress = on_progress
        self.reports: dict[str, str] = {}  # key -> kind of each artifact with a report that the job has used
        self.meter = Meter()  # whose seconds pass, and what the job's result is made of

    def derive(self, *purpose: str | int) -> int:
        """A further seed in [0, 2**32) for a named purpose of this job."""
        return seeds.derive(self.seed, *purpose)

    def rng(self, *purpose: str | int) -> np.random.Generator:
        """A numpy generator for a named purpose of this job."""
        return seeds.generator(self.seed, *purpose)

    def asset(self, ref: str) -> Path:
        """The folder (or file) of an asset; fetched when it is not there and the network is allowed."""
        return self._assets.fetch(ref)

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

        texts = self._texts(split)
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
            "version": features.FEATURES_VERSION,
        }
        folder = self._make("features", fields, build)
        found: np.ndarray = np.load(folder / f"{pooling}.npy", mmap_mode="r", allow_pickle=False)
        return found

    def embed(
        self, texts: Mapping[str, Sequence[str]], encoder: str, pooling: str = "cls", max_length: int = 512
    ) -> np.ndarray:
        """The same features for other texts, float32 [N, d], not cached."""
        return self._encode(texts, encoder, max_length)[pooling]

    def _encode(self, texts: Mapping[str, Sequence[str]], encoder: str, max_length: int) -> dict[str, np.ndarray]:
        from bench.data import features

        folder = self.asset(encoder)
        progress = partial(self.progress, what=f"features ({encoder})")
        return features.encode(folder, texts, tuple(texts), max_length, self.device, progress=progress)

    def artifact(self, kind: str, fields: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """A folder in the cache, addressed by `kind` and `fields`; `build(folder)` fills it once, atomically."""

        def checked(folder: Path) -> None:
            build(folder)
            load_report(folder, kind)  # refuses a bad one before it is kept

        return self._used(kind, key_of({"kind": kind, **fields}), self._make(kind, fields, checked))

    def find(self, kind: str, fields: Mapping[str, Any]) -> Path | None:
        """The finished artifact with this address, or None."""
        key = key_of({"kind": kind, **fields})
        folder = self._artifacts.get(kind, key)
        return None if folder is None else self._used(kind, key, folder)

    def workspace(self, kind: str, fields: Mapping[str, Any]) -> AbstractContextManager[Path]:
        """A folder for checkpoints on the way to this artifact: exclusive, kept over crashes, gone once it is made."""
        return self._metered(kind, key_of({"kind": kind, **fields}))

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
            return {"environment": environment(self.device), **self.meter.about(key)}

        with self.meter.working():  # another process may be making it
            folder = self._artifacts.make(kind, fields, timed, key, about)
        self.meter.use(kind, key)
        return folder

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
