"""The Python front door: what `bench run` does, for scripts, notebooks and the command line itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import TrainData
from bench.arguments import Selection, flag, folder_of, joined, maybe_path, numbers, path_of, paths, seconds, whole
from bench.data.assets import Assets, to_fetch
from bench.errors import UserError
from bench.identities import made_by
from bench.jobs import WORKER
from bench.output import echo
from bench.own_files import open_own_files
from bench.plan import Plan, make_plan, note_state, planned_task
from bench.plugins import Registry, load
from bench.progress import RunReport
from bench.runner import Runner, Summary
from bench.selection import Choice, check_task_keys
from bench.settings import Settings, cores
from bench.store.artifacts import Artifacts
from bench.store.code import forget
from bench.store.record import Record
from bench.store.results import ResultStore
from bench.store.text import shown
from bench.suite import DEFAULT, Suite, load_suite

if TYPE_CHECKING:
    import pandas as pd

    from bench.verify import Verified
    from bench.work.context import JobContext
    from leaderboard.board import Board
    from leaderboard.statistics import Correction

EXAMPLE = ("task", "dpc", "method", "set", "label")  # columns of `Results.examples`


def run(
    tasks: Selection = None,
    methods: Selection = None,
    students: Selection = None,
    *,
    suite: str | Path = DEFAULT,
    dpc: int | Sequence[int] | None = None,
    sets: int | None = None,
    preparations: int | None = None,
    runs: int | None = None,
    seed: int | None = None,
    out: str | Path = "bench-out",
    jobs: int | None = None,
    device: str = "auto",
    timeout: float | None = None,
    mlflow: bool | str = True,
    cache: str | Path | None = None,
    data_dir: str | Path | None = None,
    offline: bool = False,
    plugins: str | Path | Sequence[str | Path] = (),
) -> Results:
    """Compute every replicate of a suite that `out` does not hold yet, as `bench run` with the same flags.

    tasks, methods, students: selections as on the command line, "kcenters[pooling=cls],random", or a list of such;
    None is the suite's own. plugins: files of one-file plugins. mlflow: True for the database in `out`, False for none,
    or the URI of a tracking store.
    Raises UserError for a mistake in the input, PluginError for a broken plugin; what fails inside a cell is in
    `Results.failures`, and everything that was finished before is kept.
    """
    gpus = choose_device(device)
    files = paths(plugins, "plugins")
    own_cache, own_data = maybe_path(cache, "cache"), maybe_path(data_dir, "data_dir")
    settings = Settings.make(own_cache, own_data, flag(offline, "offline"), files)
    execution: dict[str, Any] = {
        "jobs": whole(jobs, "jobs"),
        "timeout": seconds(timeout),
        "mlflow": mlflow if isinstance(mlflow, str) else flag(mlflow, "mlflow"),
    }
    session = Session.open(
        settings,
        path_of(suite, "suite"),
        tasks=joined(tasks, "tasks"),
        methods=joined(methods, "methods"),
        students=joined(students, "students"),
        dpc=numbers(dpc),
        sets=whole(sets, "sets"),
        preparations=whole(preparations, "preparations"),
        runs=whole(runs, "runs"),
        seed=whole(seed, "seed", least=0),
    )
    with ResultStore(folder_of(out), "w") as store:
        plan = session.plan(store.records())
        session.fetch(plan)
        return session.execute(plan, store, gpus=gpus, **execution)


def results(out: str | Path = "bench-out") -> Results:
    """The results in an output folder, whoever computed them. Raises UserError when there are none."""
    folder = folder_of(out)
    if not (folder / "results" / "records.jsonl").is_file():
        raise UserError(f"no results in {out}: make some with `bench run --out {out}`, or name another folder")
    return Results(folder)


@dataclass(frozen=True)
class Results:
    """An output folder: its replicates as a table, its board. Shows the board in a notebook."""

    out: Path
    summary: Summary = field(default_factory=Summary)  # of the run that returned this

    @property
    def failures(self) -> dict[str, str]:
        """Cell -> first reason, of the cells that failed in the run that returned this."""
        return dict(self.summary.failures)

    def frame(self) -> pd.DataFrame:
        """One row a replicate: labels, indices, seeds, status, scores as fractions, seconds (see docs/results.md)."""
        from leaderboard.frame import records_frame

        return records_frame(self._store())

    def board(
        self,
        tasks: str | Sequence[str] = (),
        students: str | Sequence[str] = (),
        baseline: str | None = None,
        correction: Correction = "none",
        methods: str | Sequence[str] = (),
        dpc: int | Sequence[int] | None = None,
    ) -> BoardView:
        """The board of these tasks and students (all by default), with differences to `baseline` (random).

        methods, dpc: show only these rows, with the figures that they have among all; `baseline` may be a method that
        is not shown. correction: of verdicts and ranks for many comparisons, within a task, student and dpc.
        """
        from leaderboard.board import board_of

        names = {"tasks": tasks, "students": students, "methods": methods}
        chosen = {kind: [each] if isinstance(each, str) else list(each) for kind, each in names.items()}
        store = self._store()
        found = board_of(store, **chosen, dpcs=numbers(dpc), baseline=baseline, correction=correction)
        pass_on(store)
        return BoardView(found)

    def examples(self) -> pd.DataFrame:
        """One row an example of the sets on the board: task, dpc, method, set, label, texts; the first 200 of each set.

        A text field with the name of one of these columns stands as `text.<name>`. Sets without texts have `nearest`:
        the text nearest to each example.
        """
        import pandas as pd

        from leaderboard.frame import current

        store = self._store()
        shown, rows = current(store), []
        for key, record in {record.set_key: record for record in store.records() if record.key in shown}.items():
            card = store.set(key)
            if card is None:
                continue
            names = store.task(record.task.revision).label_names
            place = {"task": record.task.label, "dpc": record.dpc, "method": record.method.label, "set": record.set}
            for row in card.rows:
                texts = {f"text.{name}" if name in EXAMPLE else name: row[name] for name in card.fields}
                if not card.fields and "nearest" in row:  # of the embedding level, to look at
                    texts["nearest"] = row["nearest"]
                rows.append({**place, "label": names[int(row["label"])], **texts})
        return pd.DataFrame(rows, columns=None if rows else list(EXAMPLE))

    def _store(self) -> ResultStore:
        return ResultStore(self.out)

    def _repr_html_(self) -> str:
        return self.board()._repr_html_()

    def __repr__(self) -> str:
        return f"Results({str(self.out)!r})"


@dataclass(frozen=True, repr=False)
class BoardView:
    """A board that shows itself: as text, in a notebook, or as a table of one row a cell."""

    board: Board

    def __repr__(self) -> str:
        from leaderboard.text import markdown

        return shown(markdown(self.board))

    def _repr_html_(self) -> str:
        from leaderboard.page import html_fragment

        return shown(html_fragment(self.board))

    def _repr_markdown_(self) -> str:
        return repr(self)

    def latex(self) -> str:
        """The tables of leaderboard.tex: for a paper, one a league and student."""
        from leaderboard.latex import latex

        return shown(latex(self.board))

    def frame(self) -> pd.DataFrame:
        """The columns of leaderboard.csv: one row a cell, fractions in full precision."""
        import io

        import pandas as pd

        from leaderboard.text import csv_text

        return pd.read_csv(io.StringIO(csv_text(self.board)))


@dataclass(frozen=True)
class Session:
    """A suite with all that its plan needs: settings, plugins, assets; the caches are opened when first asked for."""

    settings: Settings
    registry: Registry
    suite: Suite
    assets: Assets

    @classmethod
    def open(
        cls,
        settings: Settings,
        suite: str | Path = DEFAULT,
        *,
        flags: Mapping[str, Any] | None = None,
        elsewhere: Sequence[str] = (),
        **chosen: Any,
    ) -> Session:
        """Load the plugins, say which are broken, and read the suite; `chosen` replaces parts of it.

        flags: options that set parameters of a task (`TaskSpec.flags`). Those in `elsewhere` mean something without
        such a task too. Raises UserError when no chosen task takes one.
        """
        forget()  # sources that were edited since the last session of this process
        registry = load(settings)
        for line in registry.warnings():
            echo(f"bench: warning: {line}", err=True)
        given = {name: value for name, value in (flags or {}).items() if value is not None}
        params: dict[str, dict[str, Any]] = {}
        for spec in registry.tasks.values():
            if mine := {spec.flags[name]: value for name, value in given.items() if name in spec.flags}:
                params[spec.name] = mine
        found = load_suite(suite, registry, task_params=params or None, **chosen)
        taken = {name for task in found.tasks for name in registry.tasks[task.spec.name].flags}
        if alone := [name for name in given if name not in taken and name not in elsewhere]:
            takers = [f"{spec.name}:PATH" for spec in registry.tasks.values() if alone[0] in spec.flags]
            options = ", ".join(f"--{name.replace('_', '-')}" for name in alone)
            raise UserError(f"{options} {'goes' if len(alone) == 1 else 'go'} with --tasks {' or '.join(takers)}")
        return cls(settings, registry, found, Assets(registry.assets, settings))

    @cached_property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.settings.cache)

    def plan(self, records: list[Record]) -> Plan:
        """The cells of the suite, and what of them these records and the cache hold."""
        suite = self.suite
        check_task_keys((*suite.methods, *suite.students), suite.tasks, self.registry.tasks)
        return make_plan(self.suite, self.assets, self.artifacts, records)

    def try_out(self, task: Choice, seed: int = 0, code: str | None = None) -> tuple[TrainData, JobContext]:
        """A task's train data, and a context for trying a method on them in this process; nothing is recorded.

        code: the module of the method, which its artifacts belong to.
        """
        from bench.work.context import JobContext
        from bench.work.worker import Worker

        planned = planned_task(task, self.assets)
        data = Worker(self.settings).load(planned).train_data()
        by = made_by(code, "method") if code else None
        shared: dict[str, Any] = {"task_identity": planned.identity, "made_by": by}
        return data, JobContext(self.assets, self.artifacts, seed=seed, data=data, **shared)

    def fetch(self, plan: Plan) -> None:
        """Bring the assets that the missing replicates need, one line each; before a download, own files are read."""
        refs = dict.fromkeys(ref for choice in plan.wanted() for ref in choice.spec.assets(choice.params))
        if absent := to_fetch(self.assets, refs):
            open_own_files(plan, self.assets)
            if len(absent) > 1:
                echo(f"to fetch: {', '.join(absent)}", err=True)
        for ref in refs:
            self.assets.fetch(ref, lambda line: echo(line, err=True))

    def execute(
        self,
        plan: Plan,
        store: ResultStore,
        *,
        gpus: int = 0,
        jobs: int | None = None,
        timeout: float | None = None,
        mlflow: bool | str = True,
    ) -> Results:
        """Run a plan, send the results to MLflow, write the boards and say what failed."""
        from bench.executors.local import LocalExecutor
        from leaderboard.files import write_boards
        from leaderboard.mlflow.tracker import Follower

        pass_on(store)
        if not plan.missing_runs():
            total = sum(len(cell.runs) for cell in plan.cells)
            echo(f"nothing to compute: all {total} replicates are there", err=True)
        report = RunReport()
        tracking = Follower(store, mlflow if isinstance(mlflow, str) else None, report.warn) if mlflow else None
        try:
            runner = Runner(
                plan,
                store,
                LocalExecutor(WORKER, self.settings, jobs or gpus or cores(), gpus),
                report,
                self.assets,
                timeout=timeout,
                on_record=tracking.now_and_then if tracking else None,
            )
            summary = runner.run()
        finally:
            report.close()
        if tracking:
            tracking.finish()
        write_boards(store, store.out)
        warn_of_overlaps(plan, store)
        say_failures(summary, store.out)
        return Results(store.out, summary)

    def verify(
        self,
        plan: Plan,
        store: ResultStore,
        n: int,
        *,
        gpus: int = 0,
        jobs: int | None = None,
        timeout: float | None = None,
    ) -> Verified:
        """Compute `n` finished sets and `n` finished runs again, each in a fresh process, and say what differs."""
        from bench.executors.local import LocalExecutor
        from bench.verify import verify

        note_state(plan, self.artifacts, store.records())
        report = RunReport()
        try:
            found = verify(
                plan, n, lambda: LocalExecutor(WORKER, self.settings, jobs or gpus or cores(), gpus), report, timeout
            )
        finally:
            report.close()
        for line in found.differences:
            echo(f"bench: {line}", err=True)
        for name, trace in found.tracebacks.items():
            echo(f"\n{name}\n{trace}", err=True)
        echo(str(found), err=True)
        return found


def choose_device(wanted: str) -> int:
    """The number of GPUs to use, 0 for the CPU; torch is loaded only when there may be a GPU."""
    if wanted not in {"auto", "cpu", "cuda"}:
        raise UserError(f"device '{wanted}': choose auto, cpu or cuda")
    if wanted == "cpu" or (wanted == "auto" and not Path("/dev/nvidiactl").exists()):
        return 0
    import torch

    if torch.cuda.is_available():
        return torch.cuda.device_count()
    if wanted == "cuda":
        raise UserError("--device cuda: torch finds no GPU here; use --device cpu")
    return 0


def pass_on(*sources: Any) -> None:
    """Print as warnings what stores and caches have to say, each line once."""
    for source in sources:
        for line in source.said:
            echo(f"bench: warning: {line}", err=True)
        source.said.clear()


def warn_of_overlaps(plan: Plan, store: ResultStore) -> None:
    """Name the plan's sets that repeat test texts, one line a task, dpc and method."""
    from leaderboard.overlap import overlap_lines

    asked = {run.key for cell in plan.cells for run in cell.runs}
    for line in overlap_lines([record for record in store.records() if record.key in asked]):
        echo(f"bench: warning: {line}", err=True)


def say_failures(summary: Summary, out: Path) -> None:
    """Name every failing cell in one line."""
    for name, reason in summary.failures.items():
        echo(f"bench: {name}: {reason}", err=True)
    for name, trace in summary.tracebacks.items():
        echo(f"\n{name}\n{trace}", err=True)
    if summary.failures:
        echo(f"bench: {len(summary.failures)} cell(s) failed; results so far are in {out}", err=True)
