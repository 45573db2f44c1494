"""What one worker process does with a job; it keeps loaded tasks and one student for the jobs to come."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import metrics, plugins
from bench.api import DistilledSet, MethodSpec, NotApplicable, Queries, Student, StudentSpec, TaskData, TrainData
from bench.data.assets import Assets
from bench.data.grants import granted, refuse_data
from bench.environment import environment
from bench.errors import PluginError, UserError
from bench.identities import made_by, metrics_code, plugin_code
from bench.jobs import (
    Job,
    LoadJob,
    Outcome,
    PartsJob,
    PlannedPlugin,
    PlannedTask,
    RunJob,
    RunsJob,
    SetJob,
    VerifyJob,
    plain,
)
from bench.models import encoder_of
from bench.selection import Choice
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.store.difference import difference
from bench.store.identity import canonical
from bench.store.predictions import encode
from bench.store.record import MadeOf, Memory, SetCard, TaskCard
from bench.store.results import SHOWN_ROWS
from bench.store.sets import (
    check_budget,
    check_set,
    content_digest,
    load_set,
    save_set,
    set_bytes,
    set_reports,
    shown_rows,
)
from bench.store.text import message, trace
from bench.work.checks import check_answers, check_encoder, check_task, league
from bench.work.context import JobContext, part_assets, rows_digest
from bench.work.lending import Seal, lend_set, lend_task, refused_write
from bench.work.memory import Peak
from bench.work.network import NetworkGuard
from bench.work.process_state import PATH, ProcessState

if TYPE_CHECKING:
    import numpy as np

    from bench.plugins import Registry

KEPT_TASKS = 4  # loaded tasks a worker holds; GLUE's are some hundred MB each


@dataclass
class _Loaded:
    """A task's data as they are lent, and what is worked out of them once."""

    data: TaskData
    seal: Seal

    @cached_property
    def rows(self) -> str:
        return rows_digest(self.data.train_data())


class Worker:
    """Runs jobs one after another. `on_progress(done, total, what)` reports from inside a job.

    Code of plugins runs inside `_plugin` only: what it leaves changed in the process is put back and said, and a job
    that changed what it was lent fails. `network`, when offline, refuses connections.
    """

    def __init__(
        self,
        settings: Settings,
        device: str = "cpu",
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
        self.device = device
        self._peak = Peak(device)
        self.on_progress = on_progress
        self._choices: dict[str, Choice] = {}
        self._tasks: dict[str, _Loaded] = {}
        self._loans: list[Seal] = []
        self._digest = ("", "")  # key of the set that was scored last, digest of its content
        self._student: tuple[Choice, Student] | None = None
        self._doing: dict[str, Callable[[Any], Any]] = {
            LoadJob.what: lambda job: self._describe(job.task),
            PartsJob.what: self._make_parts,
            SetJob.what: self._distil,
            RunJob.what: lambda job: self._score([job])[0],
            RunsJob.what: lambda job: self._score(job.runs),
            VerifyJob.what: lambda job: again[job.job.what](job.job),
        }
        again: dict[str, Callable[[Any], Any]] = {SetJob.what: self._set_again, RunJob.what: self._run_again}

    def run(self, job: Job) -> Outcome:
        """Do a job; every way in which it can end is an outcome."""
        started = time.monotonic()
        self._peak.start()
        outcome = self._outcome(job, started)
        said = [*self._warnings, *self.artifacts.said, *self.assets.said]
        for heard in (self._warnings, self.artifacts.said, self.assets.said):
            heard.clear()
        return replace(outcome, warnings=tuple(said))

    def _outcome(self, job: Job, started: float) -> Outcome:
        try:
            value = self._doing[job.what](job)
        except BaseException as error:  # sys.exit() in a plugin too; Ctrl-C is the parent's
            return failure(error, time.monotonic() - started)
        return Outcome("ok", None, None, value, time.monotonic() - started)

    def choice(self, ref: PlannedPlugin) -> Choice:
        """What a job names, looked up in this process's registry once."""
        name = canonical([ref.kind, ref.name, ref.params, ref.label, ref.code, ref.source])
        if name not in self._choices:
            if ref.source:
                module, _, function = ref.source.partition(":")
                spec = getattr(importlib.import_module(module), function)(ref.name)
            else:
                spec = self.registry.spec(ref.kind, ref.name)
            if plugin_code(spec) != ref.code:
                raise PluginError(
                    f"the code of {ref.kind} '{ref.name}' has changed since this run was planned: run the same again"
                )
            self._choices[name] = Choice(spec, spec.params.model_validate_json(canonical(ref.params)), ref.label)
        return self._choices[name]

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
            for revision, loaded in list(self._tasks.items()):
                part = loaded.seal.broken()
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
        task: PlannedTask,
        seed: int,
        who: str,
        made_by: Mapping[str, str],
        allowed: frozenset[str],
        unlabelled: Mapping[str, Sequence[str]] | None = None,
    ) -> JobContext:
        loaded = self._tasks.get(task.revision)
        return JobContext(
            self.assets,
            LentArtifacts(self.artifacts, who, [*self._loans, *(each.seal for each in self._tasks.values())]),
            seed=seed,
            device=self.device,
            data=data,
            task_identity=task.identity,
            made_by=made_by,
            on_progress=self.on_progress,
            who=who,
            allowed=allowed,
            engine=self._state.engine,
            rows=(lambda: loaded.rows) if loaded is not None else None,
            unlabelled=unlabelled,
            peak=self._peak,
        )

    def _context_of(
        self,
        data: TaskData | TrainData | Queries | None,
        task: PlannedTask,
        seed: int,
        who: str,
        choice: Choice,
        unlabelled: Mapping[str, Sequence[str]] | None = None,
    ) -> JobContext:
        """The context of a plugin's job."""
        spec = choice.spec
        code = made_by(spec.target.partition(":")[0], spec.kind)
        allowed = granted(self.assets, spec, choice.params, self._assets_of(task))
        return self._context(data, task, seed, who, code, allowed, unlabelled)

    def _assets_of(self, task: PlannedTask) -> Sequence[str]:
        choice = self.choice(task.plugin)
        return choice.spec.assets(choice.params)

    def load(self, task: PlannedTask) -> TaskData:
        """A task's data, checked, as it is lent to plugins; the last few loaded are kept."""
        if task.revision not in self._tasks:
            who, choice = f"task '{task.label}'", self.choice(task.plugin)
            with self._plugin(who):
                plugin = self.registry.build(choice.spec, choice.params)
                data = plugin.load(self._context_of(None, task, 0, who, choice))
                check_task(data, task.label)
                data = lend_task(data)
            while len(self._tasks) >= KEPT_TASKS:
                self._tasks.pop(next(iter(self._tasks)))
            self._tasks[task.revision] = _Loaded(data, Seal(data))
        return self._tasks[task.revision].data

    def _describe(self, task: PlannedTask) -> dict[str, Any]:
        """The card of a task."""
        data = self.load(task)
        card = TaskCard(
            label=task.label,
            fields=data.info.fields,
            label_names=data.info.label_names,
            metric=data.info.metric,
            test_labels=tuple(data.test.labels.tolist()),
            n_train=len(data.train),
            n_validation=len(data.validation),
            n_test=len(data.test),
            class_counts=tuple(int((data.train.labels == label).sum()) for label in range(data.info.n_classes)),
        )
        found: dict[str, Any] = plain(card)
        return found

    def _make_parts(self, job: PartsJob) -> dict[str, Any]:
        """Make parts; the outcome of each that failed, by its key."""
        data = self.load(job.task).train_data()
        who = f"method {' and '.join(map(repr, job.methods))}"
        refs = frozenset(ref for part in job.parts for ref in part_assets(part))
        refuse_data(self.assets, refs, self._assets_of(job.task), who)
        with self._plugin(who, data):
            ctx = self._context(data, job.task, 0, who, {}, refs)
            started = time.monotonic()
            errors = ctx.make_parts(job.parts)
            seconds = time.monotonic() - started
        return {job.keys[number]: plain(failure(error, seconds)) for number, error in errors.items()}

    def _distil(self, job: SetJob) -> dict[str, Any]:
        """Make a set, or find it in the cache; its card, and the reports of what it was made of, by their keys."""
        folder = self.artifacts.get("set", job.key)
        if folder is None:
            made, ctx, about = self._make_set(job)
            folder = self.artifacts.make(
                "set",
                {"task": job.task.identity, **job.fields},
                lambda part: save_set(part, made, ctx.reports),
                job.key,
                lambda: about,
            )
        distilled, about = load_set(folder), self.artifacts.about("set", job.key)
        found = (self.artifacts.report(kind, key) for key, kind in set_reports(folder).items())
        reports = {report["key"]: report for report in found if report is not None}
        made_of = about.get("made_of")
        card = SetCard(
            task=job.task.label,
            method=job.method.label,
            dpc=job.dpc,
            set=job.index,
            seed=job.seed,
            n=len(distilled),
            fields=tuple(distilled.texts) if distilled.texts is not None else (),
            rows=tuple(shown_rows(distilled)[:SHOWN_ROWS]),
            diagnostics=dict(distilled.diagnostics),
            near_test=self._near_test(job, distilled),
            set_digest=content_digest(distilled),
            seconds=about.get("seconds", 0.0),
            made_of=None if made_of is None else tuple(map(_made_of, made_of)),
            environment=about.get("environment"),
            reports=tuple(reports),
            n_bytes=set_bytes(
                distilled,
                "embeddings" if distilled.texts is None else "texts",
                self.load(job.task).info.n_classes,
            ),
            train_copies=self._train_copies(job, distilled),
            memory=_memory(about.get("memory")),
        )
        return {"card": plain(card), "reports": reports}

    def _make_set(self, job: SetJob) -> tuple[DistilledSet, JobContext, dict[str, Any]]:
        """Distil a set and check it; also its context, and what is noted of how it was made."""
        data, choice = self.load(job.task).train_data(), self.choice(job.method)
        who = f"method '{job.method.label}'"
        with self._plugin(who, data):
            method = self.registry.build(choice.spec, choice.params)
            ctx = self._context_of(data, job.task, job.seed, who, choice)
            ctx.common_seed = job.common_seed
            distilled = method.distill(data, job.dpc, ctx)
            seconds = ctx.meter.own
        who = f"the {who}"
        spec = choice.spec
        assert isinstance(spec, MethodSpec)
        empty, texts = not spec.examples, spec.has_texts(choice.params)
        check_set(distilled, data.info.fields, data.info.n_classes, who, empty=empty, texts=texts)
        about: dict[str, Any] = {"set_digest": content_digest(distilled)}
        if job.given:
            return distilled, ctx, about
        check_encoder(distilled, ctx.asset_identity, who)
        if job.dpc is not None:
            check_budget(distilled, data.info.label_names, job.dpc, who)
        about["made_of"] = self.artifacts.lineage(ctx.meter.parts)
        noted = {"seconds": round(seconds, 3), "memory": plain(self._peak.read())}
        return distilled, ctx, about | noted | {"environment": environment(self.device)}

    def _near_test(self, job: SetJob, distilled: DistilledSet) -> int | None:
        """How many examples repeat a test text, nearly or word for word; None without texts or with all data."""
        if distilled.texts is None or job.dpc is None:
            return None
        from bench.data.overlap import near_duplicates

        data = self.load(job.task)
        mine, test = ({name: texts[name] for name in data.info.fields} for texts in (distilled.texts, data.test.texts))
        return int(near_duplicates(mine, test).sum())

    def _train_copies(self, job: SetJob, distilled: DistilledSet) -> int | None:
        """How many examples are train rows, word for word, whatever their labels; None as in `_near_test`."""
        if distilled.texts is None or job.dpc is None:
            return None
        data = self.load(job.task)
        mine, train = (
            zip(*(texts[name] for name in data.info.fields), strict=True)
            for texts in (distilled.texts, data.train.texts)
        )
        rows = list(mine)
        copied = set(rows).intersection(train)
        return sum(row in copied for row in rows)

    def _score(self, jobs: Sequence[RunJob]) -> list[dict[str, Any]]:
        """Train the student on the set in the first of these runs; metrics, predictions and the set's size for each."""
        job, data = jobs[0], self.load(jobs[0].task)
        distilled = self._cached_set(job.set_key)
        answers, read = self._predict(jobs, distilled)
        if self._digest[0] != job.set_key:
            self._digest = job.set_key, content_digest(distilled)
        choice, found = self.choice(job.student), []
        for labels in answers:
            scores = metrics.score(data.info.metric, data.test.labels, labels)
            about = {
                "set_digest": self._digest[1],
                "encoder": encoder_of(distilled.embeddings, self.assets, choice.spec.assets(choice.params)),
                "league": league(distilled, read, job.student.label),
                "metric": data.info.metric,
                "score": scores[data.info.metric],
                "metrics": scores,
                "metrics_code": metrics_code(),
                "n_train": len(distilled),
                "n_bytes": set_bytes(distilled, read, data.info.n_classes),
                "predictions": plain(encode(labels)),
                "memory": plain(self._peak.read()),
            }
            found.append(about)
        return found

    def _cached_set(self, key: str) -> DistilledSet:
        """A set as it is lent to students."""
        folder = self.artifacts.get("set", key)
        if folder is None:
            raise UserError(f"the set {key[:12]} vanished from the cache: run the same command again")
        return lend_set(load_set(folder))

    def _predict(self, jobs: Sequence[RunJob], distilled: DistilledSet) -> tuple[list[np.ndarray], str]:
        """Train the student on the set; its labels for the test split, int [n], checked, and what it read.

        Of several jobs those of the first ones, as many as the student trains at once.
        """
        import numpy as np

        job = jobs[0]
        queries, choice = self.load(job.task).queries(), self.choice(job.student)
        who = f"student '{job.student.label}'"
        with self._plugin(who, distilled, queries):
            student = self._student_for(choice)
            unlabelled = self._unlabelled(job)
            contexts = [self._context_of(queries, job.task, each.seed, who, choice, unlabelled) for each in jobs]
            refusal = student.refuses(distilled)
            if refusal:
                raise NotApplicable(refusal)
            read = student.reads(distilled)
            if len(jobs) == 1:
                answers = [student.predict(distilled, queries, contexts[0])]
            else:
                answers = list(student.predict_many(distilled, queries, contexts))
            check_answers(answers, len(jobs), len(queries), queries.info.n_classes, job.student.label)
            return [np.asarray(labels) for labels in answers], read

    def _unlabelled(self, job: RunJob) -> Mapping[str, Sequence[str]] | None:
        """The train texts, for a student that may ask for some."""
        choice = self.choice(job.student)
        assert isinstance(choice.spec, StudentSpec)
        return self.load(job.task).train.texts if choice.spec.reads_train_texts(choice.params) else None

    def _set_again(self, job: SetJob) -> str:
        """The part in which a set that is made anew differs from the cached one, or an empty string."""
        return difference(self._cached_set(job.key), self._make_set(job)[0])

    def _run_again(self, job: RunJob) -> dict[str, Any]:
        """The predictions of a run that is made anew, encoded."""
        found: dict[str, Any] = plain(encode(self._predict([job], self._cached_set(job.set_key))[0][0]))
        return found

    def _student_for(self, choice: Choice) -> Student:
        if self._student is None or self._student[0] is not choice:
            self._student = None  # frees the old weights before the new ones load
            self._student = (choice, self.registry.build(choice.spec, choice.params))
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


def _made_of(noted: Mapping[str, Any]) -> MadeOf:
    return MadeOf(**{**noted, "memory": _memory(noted.get("memory"))})


def _memory(noted: Mapping[str, Any] | None) -> Memory | None:
    return None if noted is None else Memory(**noted)


def _changed(who: str, part: str) -> str:
    return (
        f"{who} changed {part} of what it was lent, which other jobs read too: nothing of this job is kept; copy it "
        "before you change it"
    )


def _importing(registry: Registry) -> str:
    """Who may have changed the process when plugins were imported: all that are not built in."""
    titles = [record.title for record in registry.plugins if not record.builtin]
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
