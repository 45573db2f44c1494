"""Plans: counts, seeds independent of order, keys that follow identities, what is already there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import plugins, seeds
from bench.api import Part
from bench.data.assets import Assets
from bench.errors import PluginError, UserError
from bench.identities import identity
from bench.plan import Plan, estimate, make_plan
from bench.settings import Settings
from bench.store import code
from bench.store.artifacts import Artifacts
from bench.suite import load_suite
from tests.bench.conftest import SUITE
from tests.leaderboard.records import record, times


class Planner:
    """Plans the sample suite with flags."""

    def __init__(self, folder: Path) -> None:
        plugin = folder / "plugin.py"
        plugin.write_text((Path(__file__).parent / "sample_plugin.py").read_text())
        self.suite = folder / "suite.toml"
        self.suite.write_text(SUITE)
        self.settings = Settings.make(cache=folder / "cache", plugin_files=(plugin,))
        self.registry = plugins.load(self.settings)
        self.assets = Assets(self.registry.assets, self.settings)

    def __call__(self, records: list[dict[str, Any]] | None = None, **flags: Any) -> Plan:
        suite = load_suite(self.suite, self.registry, **flags)
        return make_plan(suite, self.assets, Artifacts(self.settings.cache), records or [])


@pytest.fixture
def planner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Planner]:
    monkeypatch.delenv("BENCH_PLUGINS", raising=False)
    yield Planner(tmp_path)
    plugins.forget()


def keys(plan: Plan) -> dict[tuple[Any, ...], list[str]]:
    return {
        (cell.task.label, cell.method_label, cell.dpc, cell.student.label): [run.key for run in cell.runs]
        for cell in plan.cells
    }


def test_assets_of_a_spec_that_fail_are_its_plugins_fault(planner: Planner) -> None:
    spec = planner.registry.spec("method", "pick")
    broken = dataclasses.replace(spec, assets=lambda params: [params.no_such_parameter])
    planner.registry.methods["pick"] = broken  # type: ignore[assignment]
    with pytest.raises(PluginError, match=r"method 'pick': `assets` of its spec fails: AttributeError"):
        planner(methods="pick")


def test_counts(planner: Planner) -> None:
    plan = planner()
    assert len(plan.cells) == 2 * 2
    assert len(plan.sets) == 2 * (3 + 1)  # the deterministic method has one set a dpc
    assert all(len(cell.runs) == 3 * 2 for cell in plan.cells)
    all_keys = [run.key for cell in plan.cells for run in cell.runs]
    assert len(set(all_keys)) == len(all_keys)


def test_parameters_may_make_a_method_deterministic(planner: Planner) -> None:
    plan = planner(methods="kcenter-greedy,kcenter-greedy[start=mean]", dpc=(2,))
    indices = [(job.method.label, job.index) for job in plan.sets.values()]
    assert indices == [*(("kcenter-greedy", index) for index in range(3)), ("kcenter-greedy[start=mean]", 0)]
    assert all(len(cell.runs) == 3 * 2 for cell in plan.cells)


def test_the_order_of_a_selection_changes_no_key_and_no_seed(planner: Planner) -> None:
    one = planner(methods="pick,fixed", dpc=(2, 4))
    two = planner(methods="fixed,pick", dpc=(4, 2))
    assert keys(one) == keys(two)
    assert {key: job.seed for key, job in one.sets.items()} == {key: job.seed for key, job in two.sets.items()}


def test_more_sets_runs_and_dpc_keep_the_old_keys(planner: Planner) -> None:
    small, large = keys(planner()), keys(planner(sets=5, runs=3, dpc=(1, 2, 4)))
    for cell, replicates in small.items():
        assert set(replicates) < set(large[cell])


@pytest.mark.parametrize(
    "flags",
    [{"seed": 1}, {"tasks": "words[rows=70]"}, {"methods": "pick,vectors"}, {"students": "centroid[seconds=0.5]"}],
)
def test_what_changes_a_result_changes_its_key(planner: Planner, flags: dict[str, Any]) -> None:
    before = {key for each in keys(planner()).values() for key in each}
    after = {key for each in keys(planner(**flags)).values() for key in each}
    if "methods" in flags:
        assert len(before & after) == 12  # those of the method in both
    else:
        assert not before & after


def test_a_changed_version_or_asset_changes_the_identity(planner: Planner, tmp_path: Path) -> None:
    weights = tmp_path / "weights.txt"
    weights.write_text("one")
    choice = planner.suite and load_suite(planner.suite, planner.registry).students[0]
    assert choice
    base = identity(choice, planner.assets)
    newer = dataclasses.replace(choice, spec=dataclasses.replace(choice.spec, version="2"))
    assert identity(newer, planner.assets) != base
    reading = dataclasses.replace(choice, spec=dataclasses.replace(choice.spec, assets=lambda params: [str(weights)]))
    first = identity(reading, planner.assets)
    assert first != base
    weights.write_text("other content")
    assert identity(reading, planner.assets) != first


def test_final_records_are_not_planned_again_and_failed_ones_are(planner: Planner) -> None:
    runs = [run for cell in planner().cells for run in cell.runs]
    of: dict[str, Any] = {"task": "words", "student": "centroid", "method": "pick", "dpc": 2}
    made = [
        record(0.5, **of, key=runs[0].key, time=times(distil_s=1.0, student_s=2.0)),
        record(None, **of, key=runs[1].key, status="not_applicable"),
        record(None, **of, key=runs[2].key, status="failed"),
        record(None, **of, key=runs[3].key, status="timeout"),
    ]
    plan = planner(made)
    assert set(plan.done) == {runs[0].key, runs[1].key}
    guess = estimate(plan, made)
    assert guess.unknown == 0
    assert guess.core_seconds == pytest.approx(2.0 * (24 - 2) + 1.0 * 5)  # one of six sets of `pick` has all its runs


def test_parts_are_jobs_of_their_own_and_methods_share_them(planner: Planner) -> None:
    plan = planner(tasks="words,words[rows=70]", methods="trained,trained-fancy,pick,trained[steps=5],twin")
    jobs = plan.preparations(plan.sets.values())
    found = {(job.task.label, job.methods): [part.fields["steps"] for part in job.parts] for job in jobs}
    methods = {("trained", "twin"): [4], ("trained-fancy",): [4], ("trained[steps=5]",): [5]}
    assert found == {(task, key): steps for task in ("words", "words[rows=70]") for key, steps in methods.items()}
    assert len({key for job in jobs for key in job.keys}) == len(jobs) == 6
    for job in plan.sets.values():
        mine = [one.keys for one in jobs if one.task == job.task and job.method.label in one.methods]
        assert [plan.part_keys(job)] == mine or (job.method.label, plan.part_keys(job)) == ("pick", ())
    some = [job for job in plan.sets.values() if job.method.label == "twin"][:1]
    assert [job.methods for job in plan.preparations(some)] == [("twin",)]
    assert plan.preparations(job for job in plan.sets.values() if job.method.label == "pick") == []


def test_parts_with_the_same_text_are_made_together_but_never_with_what_they_need(planner: Planner) -> None:
    def part(n: int, *needs: Part) -> Part:
        return Part(kind="step", fields={"n": n}, make="bench.seeds:derive", together="all", needs=needs)

    spec = planner.registry.methods["pick"]
    first = [part(1), part(2)]
    declared = {"chain": [part(3, *first), part(4, first[0])], "alone": [part(2)]}
    for name, parts in declared.items():
        planner.registry.methods[name] = dataclasses.replace(spec, name=name, parts=lambda *_, parts=parts: parts)
    plan = planner(methods="chain,alone", dpc=(2,))
    jobs = plan.preparations(plan.sets.values())
    assert [([part.fields["n"] for part in job.parts], job.methods) for job in jobs] == [
        ([1, 2], ("chain", "alone")),
        ([3, 4], ("chain",)),
    ]
    (one, two), (_, _) = jobs[0].keys, jobs[1].keys
    assert jobs[0].needs == ((), ())
    assert jobs[1].needs == ((one, two), (one,))


def test_sets_take_preparations_in_turn_each_as_with_its_seed_alone(planner: Planner) -> None:
    def sets_of(plan: Plan) -> list[tuple[int, str]]:
        return [(job.index, key) for key, job in plan.sets.items() if job.method.name == "trained"]

    def cell_of(plan: Plan) -> str:
        (found,) = {cell.key for cell in plan.cells if cell.method_name == "trained"}
        return found

    size: dict[str, Any] = {"dpc": (2,), "sets": 6, "students": "centroid"}
    plan = planner(methods="trained,pick", preparations=2, **size)
    alone = [planner(methods=f"trained[start={start}]", **size) for start in (0, 1)]
    assert sets_of(plan) == [sets_of(alone[i % 2])[i] for i in range(6)]
    assert {job.method.label for job in plan.sets.values()} == {"trained", "pick"}
    starts = [job.method.params["start"] for job in plan.sets.values() if job.method.name == "trained"]
    assert starts == [0, 1, 0, 1, 0, 1]
    jobs = plan.preparations(plan.sets.values())
    assert [[part.fields["start"] for part in job.parts] for job in jobs] == [[0], [1]]
    cells = [cell_of(each) for each in (plan, *alone, planner(methods="trained", preparations=3, **size))]
    assert len(set(cells)) == 4, "their scores are of other sets"
    once = planner(methods="trained,pick", preparations=1, **size)
    assert cell_of(once) == cell_of(alone[0])
    picked = [[runs for names, runs in keys(each).items() if names[1] == "pick"] for each in (once, plan)]
    assert picked[0] == picked[1]
    later = planner(methods="trained[start=3]", preparations=2, **size)
    assert [job.method.params["start"] for job in later.sets.values()] == [3, 4, 3, 4, 3, 4]
    for methods, n, said in (
        (
            "trained[start=5]",
            2,
            "preparations of 'trained[start=5]': trained: parameter 'start' is 6, but must be at most 5",
        ),
        ("trained,pick", 4, "--preparations 4: 6 sets cannot be shared evenly; choose a multiple of 4 (--sets)"),
        ("pick,fixed", 2, "--preparations 2: no chosen method names a seed for what its sets share (pick, fixed)"),
    ):
        with pytest.raises(UserError) as caught:
            planner(methods=methods, preparations=n, **size)
        assert str(caught.value) == said


def test_a_deterministic_method_has_a_set_of_each_preparation(planner: Planner) -> None:
    spec = planner.registry.methods["trained"]
    planner.registry.methods["trained"] = dataclasses.replace(spec, deterministic=True)
    plan = planner(methods="trained", dpc=(2,), sets=4, runs=1, preparations=2, students="centroid")
    assert [(job.index, job.method.params["start"]) for job in plan.sets.values()] == [(0, 0), (1, 1)]
    ((one, other),) = [tuple(plan.sets)]
    (cell,) = plan.cells[:1]
    assert [run.set_key for run in cell.runs] == [one, other, one, other]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"together": "others"}, False),  # they share a seed with others
        ({"fields": {"n": 2}}, False),
        ({"kind": "other"}, False),
        ({"make": "bench.metrics:score"}, False),
        ({"needs": (Part(kind="need", fields={}, make="bench.seeds:derive"),)}, False),
    ],
)
def test_the_keys_of_a_part_and_of_its_sets_follow_what_it_is(
    planner: Planner, change: dict[str, Any], same: bool
) -> None:
    part = Part(kind="step", fields={"n": 1}, make="bench.seeds:derive")
    spec = planner.registry.methods["pick"]
    keys: list[str] = []
    made: list[tuple[set[str], set[str]]] = []
    for each in (part, dataclasses.replace(part, **change)):
        planner.registry.methods["pick"] = dataclasses.replace(spec, parts=lambda *_, each=each: [each])
        plan = planner(methods="pick")
        keys.append([key for job in plan.preparations(plan.sets.values()) for key in job.keys][-1])
        made.append((set(plan.sets), {cell.key for cell in plan.cells}))
    assert (keys[0] == keys[1]) == same
    assert all((one == other) == same and (same or not one & other) for one, other in zip(*made, strict=True))


def test_sets_follow_the_code_of_their_parts(planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which no import of the method's module shows, for a part names it as text."""
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "made_elsewhere.py"
    part = Part(kind="step", fields={}, make="made_elsewhere:make")
    planner.registry.methods["pick"] = dataclasses.replace(planner.registry.methods["pick"], parts=lambda *_: [part])
    found = []
    for source in ("STEPS = 1\n", "STEPS = 1  # as before\n", "STEPS = 2\n"):
        module.write_text(source)
        code.forget()
        found.append(set(planner(methods="pick").sets))
    assert found[0] == found[1]
    assert not found[0] & found[2]


def test_the_asset_of_a_part_counts_by_its_content(planner: Planner, tmp_path: Path) -> None:
    weights = tmp_path / "weights.txt"
    part = Part(kind="step", fields={"of": str(weights)}, assets=("of",), make="bench.seeds:derive")
    spec = planner.registry.methods["pick"]
    changed = dataclasses.replace(spec, parts=lambda *_: [part], assets=lambda _: [str(weights)])
    planner.registry.methods["pick"] = changed
    keys = []
    for content in ("one", "two", "one"):
        weights.write_text(content)
        plan = planner(methods="pick")
        (job,) = plan.preparations(plan.sets.values())
        keys += job.keys
    assert keys[0] == keys[2] != keys[1]


def test_derived_seeds_are_stable_and_apart() -> None:
    assert seeds.derive("set", 0, "bbc", "kcenters", 5, 0) == 3819156894
    made = {seeds.derive("set", 0, "bbc", "kcenters", dpc, index) for dpc in (5, 10, None) for index in range(50)}
    assert len(made) == 150
    assert seeds.generator("x").integers(0, 10**9) == seeds.generator("x").integers(0, 10**9)
