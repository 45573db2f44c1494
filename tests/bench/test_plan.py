"""Plans: counts, seeds independent of order, keys that follow identities, what is already there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import plugins, seeds
from bench.data.assets import Assets
from bench.errors import PluginError
from bench.identities import identity
from bench.plan import Plan, estimate, make_plan
from bench.settings import Settings
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
        (cell.task.choice.label, cell.method_label, cell.dpc, cell.student.label): [run.key for run in cell.runs]
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
    indices = [(job.method_label, job.index) for job in plan.sets.values()]
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


def test_preparations_are_one_a_task_and_target(planner: Planner) -> None:
    plan = planner(tasks="words,words[rows=70]", methods="trained,trained-fancy,pick,trained[steps=5]")
    found = plan.preparations(plan.sets.values())
    labels = ["trained", "trained-fancy", "trained[steps=5]"]
    assert [job.task.choice.label for job in found] == ["words", "words[rows=70]"]
    assert all([choice.label for choice in job.methods] == labels for job in found)
    covered = [sum(job.covers(one) for one in plan.sets.values()) for job in found]
    assert covered == [3 * 2 * 3] * 2, "three methods, two dpc, three sets"
    some = [job for job in plan.sets.values() if job.method_label == "trained-fancy"][:1]
    assert [[choice.label for choice in job.methods] for job in plan.preparations(some)] == [["trained-fancy"]]
    assert plan.preparations(job for job in plan.sets.values() if job.method_label == "pick") == []


def test_derived_seeds_are_stable_and_apart() -> None:
    assert seeds.derive("set", 0, "bbc", "kcenters", 5, 0) == 3819156894
    made = {seeds.derive("set", 0, "bbc", "kcenters", dpc, index) for dpc in (5, 10, None) for index in range(50)}
    assert len(made) == 150
    assert seeds.generator("x").integers(0, 10**9) == seeds.generator("x").integers(0, 10**9)
