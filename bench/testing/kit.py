"""One plugin under test, with all that a job has."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import plugins
from bench.api import Asset, NotApplicable, Params, Queries, Spec, StudentSpec, TaskData, TrainData
from bench.data.assets import Assets
from bench.data.grants import granted
from bench.discovery import cause
from bench.errors import PluginError, UserError
from bench.identities import made_by
from bench.params import plain, validate
from bench.plugins import Registry
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.store.identity import canonical, key_of
from bench.testing.guards import (
    ConformanceError,
    demand,
    fingerprint,
    global_random_state,
    kept_random_state,
    no_network,
)
from bench.work.context import JobContext
from bench.work.lending import Seal, refused_write
from bench.work.process_state import ProcessState


@dataclass(frozen=True)
class Kit:
    """One plugin under test: its spec and parameters, and what a context needs."""

    spec: Spec
    params: Params
    assets: Assets
    artifacts: Artifacts
    state: ProcessState

    @property
    def who(self) -> str:
        return f"{self.spec.kind} '{self.spec.name}'"

    @contextlib.contextmanager
    def alone(self) -> Iterator[Any]:
        """An instance from a second copy of its module, which knows nothing of what happened to the first."""
        instance = self.build()
        name, _, attribute = self.spec.target.partition(":")
        module = sys.modules[name]
        found = module.__spec__
        if name == "__main__" or found is None or found.loader is None:
            yield instance
            return
        copy = importlib.util.module_from_spec(found)
        sys.modules[name] = copy
        try:
            found.loader.exec_module(copy)
            yield getattr(copy, attribute)(self.params)
        finally:
            sys.modules[name] = module

    @contextlib.contextmanager
    def call(self, when: str, start: int | None, *lent: Any) -> Iterator[None]:
        """Watch one call of the plugin; `when` says which. All global generators stand at `start` (None: unwatched)."""
        who, seals = f"{self.who} ({when})", [Seal(each) for each in lent]
        try:
            random_state = global_random_state(who, start) if start is not None else kept_random_state()
            with no_network(who), random_state:
                yield
        except (NotApplicable, PluginError, ConformanceError):
            raise
        except Exception as error:
            raise ConformanceError(f"{who} raised {cause(error)}{refused_write(error)}") from error
        finally:
            changed = self.state.restore()
        demand(not changed, f"{who} left {', '.join(changed)} changed: put back what you set")
        for seal in seals:
            part = seal.broken()
            demand(not part, f"{who} changed {part} of what it was lent: take a copy and change that")

    def build(self) -> Any:
        """A fresh instance."""
        kinds: dict[str, dict[str, Any]] = {"task": {}, "method": {}, "student": {}}
        kinds[self.spec.kind][self.spec.name] = self.spec
        registry = Registry(kinds["task"], kinds["method"], kinds["student"], {}, [])
        return registry.build(self.spec, self.params)

    def context(
        self,
        data: TaskData | TrainData | Queries | None,
        seed: int,
        unlabelled: Mapping[str, Sequence[str]] | None = None,
    ) -> JobContext:
        """A job's real context; the features it computes go to a folder that is deleted afterwards.

        unlabelled: the train texts, for a student whose spec says that it asks for some.
        """
        spec = self.spec
        asks = isinstance(spec, StudentSpec) and spec.reads_train_texts(self.params)
        identity = {"kit": key_of(texts_of(data)) if data is not None else ""}
        ctx = JobContext(
            self.assets,
            self.artifacts,
            seed=seed,
            data=data,
            task_identity=identity,
            made_by=made_by(self.spec.target.partition(":")[0], self.spec.kind),
            who=self.who,
            allowed=granted(self.assets, self.spec, self.params, ()),
            engine=self.state.engine,
            unlabelled=unlabelled if asks else None,
        )
        ctx.common_seed = seed if isinstance(data, TrainData) else 0
        return ctx


@contextlib.contextmanager
def open_kit(
    spec: Spec, params: Mapping[str, Any] | None, settings: Settings | None, assets: Mapping[str, Asset] | None
) -> Iterator[Kit]:
    """Check the spec itself, then lend what its instances need; a broken plugin breaks a rule of the kit too."""
    try:
        plugins.check(spec.kind, spec)
        valid = validate(spec, params or {})
    except UserError as error:
        raise ConformanceError(str(error)) from error
    again = spec.params.model_validate_json(canonical(plain(valid)))
    demand(again == valid, f"{spec.kind} '{spec.name}': its parameters do not survive JSON")
    refs = spec.assets(valid)
    demand(
        not isinstance(refs, str) and all(isinstance(ref, str) for ref in refs),
        f"{spec.kind} '{spec.name}': assets must give a list of references, not {refs!r}",
    )
    settings = settings or Settings.make()
    if assets is None:
        assets = plugins.load(settings).assets
    with tempfile.TemporaryDirectory(prefix="bench-kit-") as folder, kept_random_state():
        try:
            kit = Kit(spec, valid, Assets(assets, settings), Artifacts(Path(folder)), ProcessState())
            for ref in refs:
                kit.assets.fetch(ref)  # what comes later must do without a network
            yield kit
        except PluginError as error:
            raise ConformanceError(str(error)) from error


def texts_of(data: TaskData | TrainData | Queries) -> Any:
    if isinstance(data, Queries):
        return {name: list(texts) for name, texts in data.texts.items()}
    return fingerprint(data.train)
