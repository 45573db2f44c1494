"""What one plugin does to its process, the network and assets does not reach another; through the runner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.api import Asset, MethodSpec, StudentSpec, TaskSpec
from bench.data.assets import Assets
from bench.data.grants import granted
from bench.errors import PluginError
from bench.settings import Settings
from tests.bench.conftest import records
from tests.bench.work.test_lending import SMALL, guilty

Sample = Any


def diagnostics(out: Path) -> dict[str, Any]:
    shown = [json.loads(path.read_text()) for path in (out / "sets").iterdir()]
    return {one["method"]: one["diagnostics"] for one in shown}


def test_what_a_method_leaves_changed_does_not_reach_the_next(sample: Sample, tmp_path: Path) -> None:
    folder = guilty(sample)
    done = sample("run", *SMALL, "--methods", "careless,witness")
    said = [line for line in done.stderr.splitlines() if "left changed" in line]
    assert len(said) == 1, "one line, though two sets were made"
    assert said[0].startswith("bench: warning: method 'careless' left changed: the environment (GUILTY), the working")
    for name in ("random's global", "numpy's global generator", "torch's default dtype", "torch's number of threads"):
        assert name in said[0]
    assert said[0].endswith("(first in: words dpc 2 careless set 0)")
    assert "printed by careless" in done.stderr
    assert "written by careless" in done.stderr
    assert "by careless" not in done.stdout

    source = (folder / "guilty.py").read_text()
    at_import = "\nprint('hello')\nrandom.seed(1)\nos.environ['OMP_NUM_THREADS'] = '7'\n"
    (folder / "guilty.py").write_text(source + at_import)
    other = ("--out", "alone", "--cache", str(tmp_path / "other"))
    done = sample("run", *SMALL, "--methods", "witness", *other)
    (line,) = [line for line in done.stderr.splitlines() if "left changed" in line]
    assert "guilty.py" in line
    assert "left changed: the environment (OMP_NUM_THREADS), random's global generator; put back" in line
    assert "hello" not in done.stdout

    seen = diagnostics(folder / "bench-out")["witness"]
    assert seen == diagnostics(folder / "alone")["witness"]
    assert (seen["threads"], seen["dtype"], seen["environment"]) == (1, "torch.float32", None)


def test_offline_holds_for_plugins(sample: Sample) -> None:
    folder = guilty(sample)
    done = sample("run", *SMALL, "--offline", "--methods", "calls,calls[how=caught],pick", code=3)
    found = {(one["method"]["label"], one["set"]): one for one in records(folder / "bench-out")}
    reason = found["calls", 0]["reason"]
    assert reason.startswith("distilling: method 'calls' wanted to reach 203.0.113.7, but offline mode is on")
    assert "`bench fetch`" in reason
    assert found["calls[how=caught]", 0]["status"] == found["pick", 1]["status"] == "ok"
    line = "warning: method 'calls[how=caught]' wanted to reach 203.0.113.7, but offline mode is on"
    assert done.stderr.count(line) == 1
    online = sample("run", *SMALL, "--methods", "calls[how=caught]", "--out", "online")
    assert "offline mode" not in online.stderr


def test_assets_are_for_those_that_declare_them_and_data_is_for_tasks(sample: Sample, tiny_encoder: Path) -> None:
    folder = guilty(sample)
    data = folder / "data" / "guilty"
    data.mkdir(parents=True)
    (data / "rows.json").write_text(json.dumps([f"row {i} of sport or money" for i in range(8)]))
    asks = ["asks[how=guilty-rows]", "asks[how=data/guilty]", "asks[how=features]"]
    declares = ["declares[how=guilty-rows]", "declares[how=weights]"]
    (folder / "weights").symlink_to(tiny_encoder)
    words = ("--tasks", "rows", "--data-dir", "data", "--students", "pupil,pupil[how=asset]")
    methods = ",".join([*asks, *declares])
    sample("run", *SMALL, *words, "--methods", methods, code=3, GUILTY_ENCODER="weights")
    found = {(one["method"]["label"], one["student"]["label"]): one for one in records(folder / "bench-out")}
    for label in asks:
        reason = str(found[label, "pupil"]["reason"])
        assert reason.startswith(f"distilling: method '{label}' asks for the asset")
        assert "does not declare: add it to `assets` of the spec" in reason
    refused = str(found[declares[0], "pupil"]["reason"])
    assert refused.startswith("distilling: method 'declares' declares the asset 'guilty-rows', which holds data")
    assert found[declares[1], "pupil"]["status"] == "ok", found[declares[1], "pupil"]["reason"]
    refused = str(found[declares[1], "pupil[how=asset]"]["reason"])
    assert refused.startswith("student 'pupil[how=asset]' asks for the asset 'guilty-rows', which its spec does not")


def wheel(name: str, content: Any, *members: str) -> Asset:
    pin = {"wheel": "both", "version": "1", "sha256": "0" * 64}
    return Asset(name=name, summary="S.", content=content, licence="", size_mb=1, members=members, **pin)


@pytest.mark.parametrize("kind", [MethodSpec, StudentSpec])
def test_a_wheel_may_hold_data_and_weights_but_data_has_one_name(tmp_path: Path, kind: Any) -> None:
    registered = {
        one.name: one
        for one in (wheel("rows", "data", "both/rows"), wheel("net", "model", "both/net"), wheel("all", "model"))
    }
    assets = Assets(registered, Settings(cache=tmp_path))

    def ask(spec_type: Any, *refs: str, task: tuple[str, ...] = ()) -> frozenset[str]:
        spec = spec_type(name="x", summary="S.", target="a:B", assets=lambda params: params)
        return granted(assets, spec, refs, task)

    assert ask(TaskSpec, "rows") == {"rows"}
    assert ask(kind, "net") == {"net"}
    for refs in (("rows",), ("all",), ("net", "rows")):
        with pytest.raises(PluginError, match="data assets are for tasks"):
            ask(kind, *refs)
    file = tmp_path / "reviews.csv"
    file.write_text("text,label\n")
    for ref in (str(file), str(tmp_path)):
        with pytest.raises(PluginError, match="data assets are for tasks"):
            ask(kind, ref, task=(str(file),))
    (tmp_path / "model").mkdir()
    assert ask(kind, str(tmp_path / "model"), task=(str(file),))
    extracted = assets.places(registered["rows"])[0]
    extracted.mkdir(parents=True)
    with pytest.raises(PluginError, match="data assets are for tasks"):
        ask(kind, str(extracted))
