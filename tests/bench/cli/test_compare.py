"""`bench compare`: exit codes and lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.cli.compare import DIFFERS
from bench.cli.main import cli
from bench.errors import UserError
from tests.leaderboard.test_replication import cell, store_of

ROOT = Path(__file__).parents[3] / "leaderboard" / "results"


def run(*arguments: object) -> Result:
    found = CliRunner().invoke(cli, ["compare", *map(str, arguments)])
    assert found.exception is None or isinstance(found.exception, SystemExit | UserError), found.exception
    return found


def test_a_store_that_matches_agrees_and_one_that_does_not_exits_with_a_code_of_its_own(tmp_path: Path) -> None:
    store_of(tmp_path / "match", [*cell(), *cell("el2n")])
    found = run(tmp_path / "match", "--published", "dilm-2024", "--margin", 3)
    assert found.exit_code == 0
    assert "| 58.1±5.2" in found.stdout
    assert "| agrees: -0.0 [" in found.stdout or "| agrees: +0.0 [" in found.stdout
    assert "No number of dilm-2024 for: el2n." in found.stdout
    store_of(tmp_path / "off", [*cell("kcenters", 0.60), *cell()])
    found = run(tmp_path / "off", "--published", "dilm-2024")
    assert found.exit_code == DIFFERS
    assert "| differs: -10." in found.stdout


@pytest.mark.parametrize("folder", ["pocket", "gen-distill-sst2"])
def test_kept_results_are_not_comparable_and_say_why(folder: str) -> None:
    found = run(ROOT / folder, "--published", "dilm-2024")
    assert found.exit_code == 0
    assert "student minilm, published bert-base" in found.stdout
    assert "agrees:" not in found.stdout
    assert "differs:" not in found.stdout
    assert ("task bbc, published sst2, qqp, mnli-m" in found.stdout) is (folder == "pocket")


def test_two_folders(tmp_path: Path) -> None:
    store_of(tmp_path / "one", cell())
    store_of(tmp_path / "other", cell(mean=0.65))
    same = run(tmp_path / "one", tmp_path / "one")
    assert (same.exit_code, "40/40" in same.stdout) == (0, True)
    found = run(tmp_path / "one", tmp_path / "other")
    assert found.exit_code == DIFFERS
    assert "| moved" in found.stdout
    assert "+6.9 [" in found.stdout


@pytest.mark.parametrize("arguments", [["a", "b", "c"], ["a", "b", "--published", "dilm-2024"], ["a"], []])
def test_what_cannot_be_compared_is_said(arguments: list[str]) -> None:
    assert "name one result folder and --published NAME, or two result folders" in str(run(*arguments).exception)


def test_a_folder_without_results_is_said(tmp_path: Path) -> None:
    assert "no results in" in str(run(tmp_path, "--published", "dilm-2024").exception)
