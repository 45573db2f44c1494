"""What one worker process does with a job; it keeps loaded tasks and one student for the jobs to come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import metrics, plugins
from bench.api import DistilledSet, NotApplicable, Queries, Student, TaskData, TrainData
from bench.context import JobContext
from bench.data.assets import Assets
from bench.data.grants import granted
from bench.environment import environment
from bench.errors import PluginError, UserError
from bench.executors.base import Job, Outcome
from bench.identities import made_by, metrics_code
from bench.lending import Seal, lend_set, lend_task, refused_write
from bench.network import NetworkGuard
from bench.plan import PrepareJob, RunJob, SetJob, TaskPart, VerifyJob
from bench.process_state import PATH, ProcessState
from bench.selection import Choice
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.store.difference import difference
from bench.store.predictions import encode
from bench.store.record import MadeOf, SetCard, TaskCard
from bench.store.results import SHOWN_ROWS
from bench.store.sets import check_budget, check_set, content_digest, example_rows, load_set, save_set, set_reports
from bench.store.text import HALF, message, trace, unwritable

if TYPE_CHECKING:
    import numpy as np

    from bench.plugins import Registry

KEPT_TASKS = 4  # loaded tasks a worker holds; GLUE's are some hundred MB each


class Worker:
    """Runs jobs one after another. `on_progress(done, total, what)` reports from inside a job.

    Code of plugins runs inside `_plugin` only: what it leaves changed in the process is put back and said, and a job
    that changed what it was lent fails. `network`, when offline, refuses connections.
    """

    def __init__(
        self,
        settings: Settings,
        on_progress: Callable[[int, int, str], None] | None = None,
        network: NetworkGuard | None = None,
    ) -> None:
        self.network = network or NetworkGuard()
        self._state = ProcessState()
        self._warnings: list[str] = []
        self._said: set[tuple[str, str]] = set()
        self.registry: Registry = plugins.load(settings)
        self._state.accept(PATH)  # the folder of a plugin's file may belong there
        self._put_back(_importing(self.registry))
        self.assets = Assets(self.registry.assets, settings)
        self.artifacts = Artifacts(settings.cache)
        self.device = settings.device
        self.on_progress = on_progress
        self._tasks: dict[str, tuple[TaskData, Seal]] = {}
        self._loans: list[Seal] = []
        self._student: tuple[Any, Student] | None = None

    def run(self, job: Job) -> Outcome:
        """Do a job; every way in which it can end is an outcome."""
        started = time.monotonic()
        outcome = self._outcome(job, started)
        said = [*self._warnings, *self.artifacts.said, *self.assets.said]
        for heard in (self._warnings, self.artifacts.said, self.assets.said):
            heard.clear()
        return replace(outcome, warnings=tuple(said))

    def _outcome(self, job: Job, started: float) -> Outcome:
        value: Any = None
        try:
            if isinstance(job, TaskPart):
                value = self._describe(job)
            elif isinstance(job, PrepareJob):
                value = self._prepare(job)
            elif isinstance(job, SetJob):
                value = self._distil(job)
            elif isinstance(job, VerifyJob):
                value = self._verify(job.job)
            else:
                value = self._score(job)
        except BaseException as error:  # sys.exit() in a plugin too; Ctrl-C is the parent's
            return failure(error, time.monotonic() - started)
        return Outcome("ok", None, None, value, time.monotonic() - started)

    @contextmanager
    def _plugin(self, who: str, *loans: Any) -> Iterator[None]:
        """Surrounds code of a plugin; `loans`: what it is lent beside the tasks. PluginError if it changed one."""
        self._loans = [Seal(loan) for loan in loans]
        self.network.who = who
        try:
            yield
        finally:
            self._put_back(who)
            changed = []
            for revision, (_, seal) in list(self._tasks.items()):
                part = seal.broken()
                if part:
                    changed.append(part)
                    del self._tasks[revision]
            changed += [part for seal in self._loans if (part := seal.broken())]
            if changed:
                self._student = None
                raise PluginError(_changed(who, changed[0]))

    def _put_back(self, who: str) -> None:
        changed = [part for part in self._state.restore() if (who, part) not in self._said]
        if changed:
            self._said.update((who, part) for part in changed)
            self._warnings.append(
                f"{who} left changed: {', '.join(changed)}; put back, so that no other job sees it (draw from "
                "ctx.rng() or ctx.derive(), and put back what you set)"
            )
        tried = dict.fromkeys(self.network.tried)
        if tried:
            self._warnings.append(f"{who} wanted to reach {', '.join(tried)}, but offline mode is on")
            self.network.tried.clear()

    def _context(
        self,
        data: TaskData | TrainData | Queries | None,
        task: TaskPart,
        seed: int,
        who: str,
        choices: Sequence[Choice],
    ) -> JobContext:
        spec, variants = choices[0].spec, [choice.params for choice in choices]
        return JobContext(
            self.assets,
            LentArtifacts(self.artifacts, who, [*self._loans, *(seal for _, seal in self._tasks.values())]),
            seed=seed,
            device=self.device,
            data=data,
            task_identity=task.identity,
            made_by=made_by(spec.target.partition(":")[0], spec.kind),
            on_progress=self.on_progress,
            who=who,
            allowed=granted(self.assets, spec, variants, task.choice.spec.assets(task.choice.params)),
            engine=self._state.engine,
        )

    def load(self, part: TaskPart) -> TaskData:
        """A task's data, checked, as it is lent to plugins; the last few loaded are kept."""
        if part.revision not in self._tasks:
            who = f"task '{part.choice.label}'"
            with self._plugin(who):
                task = self.registry.build(part.choice.spec, part.choice.params)
                data = task.load(self._context(None, part, 0, who, [part.choice]))
                check_task(data, part.choice.label)
                data = lend_task(data)
            while len(self._tasks) >= KEPT_TASKS:
                self._tasks.pop(next(iter(self._tasks)))
            self._tasks[part.revision] = (data, Seal(data))
        return self._tasks[part.revision][0]

    def _describe(self, part: TaskPart) -> TaskCard:
        """What the result store keeps of a task."""
        data = self.load(part)
        return TaskCard(
            label=part.choice.label,
            fields=tuple(data.info.fields),
            label_names=tuple(data.info.label_names),
            metric=data.info.metric,
            test_labels=tuple(int(label) for label in data.test.labels),
            n_train=len(data.train),
            n_validation=len(data.validation),
            n_test=len(data.test),
            class_counts=tuple(int((data.train.labels == label).sum()) for label in range(data.info.n_classes)),
        )

    def _prepare(self, job: PrepareJob) -> dict[str, Outcome]:
        """Let a method make what its variants share; the outcome of each variant that failed, by label."""
        data = self.load(job.task).train_data()
        variants = [choice.params for choice in job.methods]
        who = f"method {' and '.join(repr(choice.label) for choice in job.methods)}"
        with self._plugin(who, data):
            method: Any = self.registry.target(job.methods[0].spec)
            ctx = self._context(data, job.task, job.seed, who, job.methods)
            started = time.monotonic()
            errors = method.prepare(variants, data, ctx)
            seconds = time.monotonic() - started
        return {job.methods[number].label: failure(error, seconds) for number, error in errors.items()}

    def _distil(self, job: SetJob) -> tuple[SetCard, dict[str, dict[str, Any]]]:
        """Make a set, or find it in the cache; its card, and the reports of what it was made of, by their keys."""
        folder = self.artifacts.get("set", job.key)
        if folder is None:
            if job.method is None:
                raise UserError(f"the imported set {job.key[:12]} is no longer in the cache: run `bench score` again")
            made, ctx, about = self._make_set(job, job.method)
            folder = self.artifacts.make(
                "set", job.fields, lambda part: save_set(part, made, ctx.reports), job.key, lambda: about
            )
        distilled, about = load_set(folder), self.artifacts.about("set", job.key)
        found = (self.artifacts.report(kind, key) for key, kind in set_reports(folder).items())
        reports = {report["key"]: report for report in found if report is not None}
        made_of = about.get("made_of")
        card = SetCard(
            task=job.task.choice.label,
            method=job.method_label,
            dpc=job.dpc,
            set=job.index,
            seed=job.seed,
            n=len(distilled),
            fields=tuple(distilled.texts) if distilled.texts is not None else (),
            rows=tuple(example_rows(distilled)[:SHOWN_ROWS]),
            diagnostics=dict(distilled.diagnostics),
            near_test=self._near_test(job, distilled),
            set_digest=content_digest(distilled),
            seconds=about.get("seconds", 0.0),
            made_of=None if made_of is None else tuple(MadeOf(**part) for part in made_of),
            environment=about.get("environment"),
            reports=tuple(reports),
        )
        return card, reports

    def _make_set(self, job: SetJob, choice: Choice) -> tuple[DistilledSet, JobContext, dict[str, Any]]:
        """Distil a set and check it; also its context, and what is noted of how it was made."""
        data = self.load(job.task).train_data()
        who = f"method '{job.method_label}'"
        with self._plugin(who, data):
            method = self.registry.build(choice.spec, choice.params)
            ctx = self._context(data, job.task, job.seed, who, [choice])
            distilled = method.distill(data, job.dpc, ctx)
            seconds = ctx.meter.own
        made_of = self.artifacts.lineage(ctx.meter.parts)
        about = {"seconds": round(seconds, 3), "made_of": made_of, "environment": environment(self.device)}
        who = f"the {who}"
        check_set(distilled, data.info.fields, data.info.n_classes, who)
        if job.dpc is not None:
            check_budget(distilled, data.info.label_names, job.dpc, who)
        return distilled, ctx, about

    def _near_test(self, job: SetJob, distilled: DistilledSet) -> int | None:
        """How many examples repeat a test text, nearly or word for word; None without texts or with all data."""
        if distilled.texts is None or job.dpc is None:
            return None
        from bench.data.overlap import near_duplicates

        data = self.load(job.task)
        mine, test = ({name: texts[name] for name in data.info.fields} for texts in (distilled.texts, data.test.texts))
        return int(near_duplicates(mine, test).sum())

    def _score(self, job: RunJob) -> dict[str, Any]:
        """Train the student on the set; metrics, predictions and the size of the set."""
        data = self.load(job.task)
        distilled = self._cached_set(job.set_key)
        labels = self._predict(job, distilled)
        scores = metrics.score(data.info.metric, data.test.labels, labels)
        return {
            "league": league(distilled),
            "metric": data.info.metric,
            "score": scores[data.info.metric],
            "metrics": scores,
            "metrics_code": metrics_code(),
            "n_train": len(distilled),
            "predictions": encode(labels),
        }

    def _cached_set(self, key: str) -> DistilledSet:
        """A set as it is lent to students."""
        folder = self.artifacts.get("set", key)
        if folder is None:
            raise UserError(f"the set {key[:12]} vanished from the cache: run the same command again")
        return lend_set(load_set(folder))

    def _predict(self, job: RunJob, distilled: DistilledSet) -> np.ndarray:
        """Train the student on the set; its labels for the test split, int [n], checked."""
        import numpy as np

        queries = self.load(job.task).queries()
        who = f"student '{job.student.label}'"
        with self._plugin(who, distilled, queries):
            student = self._student_for(job)
            ctx = self._context(queries, job.task, job.seed, who, [job.student])
            refusal = student.refuses(distilled)
            if refusal:
                raise NotApplicable(refusal)
            labels = student.predict(distilled, queries, ctx)
            check_predictions(labels, len(queries), queries.info.n_classes, job.student.label)
            return np.asarray(labels)

    def _verify(self, job: SetJob | RunJob) -> str | np.ndarray:
        """Do a finished job again: the part in which a set differs from the cached one, or a run's labels."""
        if isinstance(job, RunJob):
            return self._predict(job, self._cached_set(job.set_key))
        assert job.method is not None
        return difference(self._cached_set(job.key), self._make_set(job, job.method)[0])

    def _student_for(self, job: RunJob) -> Student:
        wanted = (job.student.spec.name, job.student.params)
        if self._student is None or self._student[0] != wanted:
            self._student = None  # frees the old weights before the new ones load
            self._student = (wanted, self.registry.build(job.student.spec, job.student.params))
        return self._student[1]


class LentArtifacts(Artifacts):
    """The store as a plugin has it: what it made after it had changed what it was lent is not kept."""

    def __init__(self, artifacts: Artifacts, who: str, seals: Sequence[Seal]) -> None:
        self.root, self.said = artifacts.root, artifacts.said
        self._who = who
        self._seals = seals

    def make(
        self,
        kind: str,
        fields: Mapping[str, Any],
        build: Callable[[Path], None],
        key: str | None = None,
        about: Callable[[], Mapping[str, Any]] = dict,
    ) -> Path:
        def checked(folder: Path) -> None:
            build(folder)
            part = next((part for seal in self._seals if (part := seal.broken())), "")
            if part:
                raise PluginError(_changed(self._who, part))

        return super().make(kind, fields, checked, key, about)


def _changed(who: str, part: str) -> str:
    return (
        f"{who} changed {part} of what it was lent, which other jobs read too: nothing of this job is kept; copy it "
        "before you change it"
    )


def _importing(registry: Registry) -> str:
    """Who may have changed the process when plugins were imported: all that are not built in."""
    titles = [record.title for record in registry.plugins if record.distribution != "distillation-bench"]
    return f"the import of {' or '.join(titles) or 'the built-in plugins'}"


def failure(error: BaseException, seconds: float) -> Outcome:
    """The outcome that an error stands for; a bug keeps its traceback."""
    if isinstance(error, NotApplicable):
        return Outcome("not_applicable", message(error), seconds=seconds)
    if isinstance(error, UserError):
        return Outcome("plugin" if isinstance(error, PluginError) else "usage", message(error), seconds=seconds)
    memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    said = ": ".join(part for part in (type(error).__name__, message(error)) if part) + refused_write(error)
    return Outcome("oom" if memory else "failed", said, trace(error), seconds=seconds)


def league(distilled: DistilledSet) -> str:
    """A: text and hard labels; B: text and soft labels; C: embedding level. Ranked apart."""
    if distilled.texts is None:
        return "C"
    return "A" if distilled.soft_labels is None else "B"


def check_task(data: TaskData, label: str) -> None:
    """Refuse a task that no result could be trusted on: empty splits or texts, labels out of range, missing classes."""
    for name, split in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        n = len(split)
        if n == 0:
            raise UserError(f"task '{label}': the {name} split has no row")
        if set(split.texts) != set(data.info.fields):
            raise UserError(
                f"task '{label}': the {name} split has the fields {sorted(split.texts)}, not {data.info.fields}"
            )
        low, high = int(split.labels.min()), int(split.labels.max())
        if low < 0 or high >= data.info.n_classes:
            raise UserError(
                f"task '{label}': label {low if low < 0 else high} in {name}, not in 0..{data.info.n_classes - 1}"
            )
        for field, texts in split.texts.items():
            if len(texts) != n:
                raise UserError(f"task '{label}': {len(texts)} texts in '{field}' of {name} for {n} labels")
            empty = next((i for i, text in enumerate(texts) if not isinstance(text, str) or not text.strip()), None)
            if empty is not None:
                raise UserError(f"task '{label}': empty text in '{field}' of {name}, row {empty}")
            broken = next((i for i, text in enumerate(texts) if unwritable(text)), None)
            if broken is not None:
                raise UserError(f"task '{label}': {HALF} in '{field}' of {name}, row {broken}")
    present = set(data.train.labels.tolist())
    for name in (*data.info.fields, *data.info.label_names):
        if unwritable(name):
            raise UserError(f"task '{label}': {HALF} in the name '{name}' of a field or class")
    for index, name in enumerate(data.info.label_names):
        if index not in present:
            raise UserError(f"task '{label}': class '{name}' has no train row")


def check_predictions(labels: Any, n: int, n_classes: int, student: str) -> None:
    """A student that answers in the wrong shape or range is broken: not a user's mistake."""
    import numpy as np

    found = np.asarray(labels)
    if found.shape != (n,) or found.dtype.kind not in "iu":
        raise PluginError(f"student '{student}' returned {found.dtype} {found.shape}; int [{n}] is needed")
    if found.min() < 0 or found.max() >= n_classes:
        raise PluginError(f"student '{student}' predicted a label outside 0..{n_classes - 1}")
