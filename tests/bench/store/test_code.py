"""Digests of code: they follow imports without running them, and see what computes and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.store import code
from bench.store.code import code_digest, definition_digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose modules refuse to be imported."""
    folder = tmp_path / "digested"
    (folder / "deep").mkdir(parents=True)
    stop = "raise RuntimeError('imported')\n"
    (folder / "__init__.py").write_text("")
    (folder / "deep" / "__init__.py").write_text(stop)
    lines = "from digested.helper import f\nfrom .deep import part\nimport json\nimport mate\n"
    (folder / "main.py").write_text(lines + stop)
    (folder / "helper.py").write_text("def f(): return 1\n" + stop)
    (folder / "deep" / "part.py").write_text("from ..other import g\n" + stop)
    (folder / "other.py").write_text("import importlib\nimportlib.import_module('digested.late')\n" + stop)
    (folder / "late.py").write_text(stop)
    (folder / "unused.py").write_text(stop)
    (tmp_path / "mate.py").write_text(stop)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "digested", raising=False)
    return folder


def digest(module: str) -> str:
    code.forget()
    return code_digest(module)


FOLLOWED = [
    "main.py",
    "helper.py",
    "deep/part.py",
    "deep/__init__.py",
    "other.py",
    "late.py",
    "__init__.py",
    "../mate.py",
]


@pytest.mark.parametrize("name", FOLLOWED)
def test_the_digest_follows_imports(package: Path, name: str) -> None:
    before = digest("digested.main")
    assert digest("digested.main") == before
    (package / name).write_text((package / name).read_text() + "changed = 1\n")
    assert digest("digested.main") != before
    assert "digested.main" not in sys.modules


def test_what_is_not_imported_and_line_ends_do_not_count(package: Path) -> None:
    before = digest("digested.main")
    (package / "unused.py").write_text("x = 1\n")
    helper = package / "helper.py"
    helper.write_bytes(helper.read_bytes().replace(b"\n", b"\r\n"))
    assert digest("digested.main") == before


def test_libraries_in_a_folder_below_are_not_ones_own(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = package.parent / ".venv" / "lib" / "site-packages"
    libraries.mkdir(parents=True)
    (libraries / "some_library.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(libraries))
    (package / "helper.py").write_text("import some_library\n")
    before = digest("digested.main")
    (libraries / "some_library.py").write_text("x = 2\n")
    assert digest("digested.main") == before
    assert "mate" in code.closure("digested.main")


def test_a_module_that_cannot_be_read_counts_by_its_bytes(package: Path) -> None:
    (package / "helper.py").write_text("def f(:\n")
    before = digest("digested.main")
    (package / "helper.py").write_text("def g(:\n")
    assert digest("digested.main") != before


CODE = '''
class P(Params):
    """A docstring."""

    n: int = Field(3, ge=1, description="Words.")

    def f(self, x):  # a comment
        """Another."""
        text = """kept
        as it is"""
        return g(x, "text", 1.0, True, b"a")
'''
WORDS = [
    ("A docstring.", "Reworded."),
    ('"""Another."""', '"""Yet\n        another."""'),
    ("Words.", "A number of words."),
]
LAYOUT = [
    ("  # a comment", ""),
    ("        return", "\n\n        return"),
    ('g(x, "text"', "g(\n            x,\n            'text'"),
]


@pytest.mark.parametrize(("old", "new"), [*WORDS, *LAYOUT])
def test_words_and_layout_do_not_count(package: Path, old: str, new: str) -> None:
    (package / "helper.py").write_text(CODE)
    before = digest("digested.main")
    assert old in CODE
    (package / "helper.py").write_text(CODE.replace(old, new))
    assert digest("digested.main") == before


NUMBERS = [
    ("Field(3", "Field(4"),
    ("ge=1", "ge=2"),
    ("1.0", "1"),
    ("True", "False"),
    ('b"a"', '"a"'),
    ("kept\n", "kept\n\n"),
]


@pytest.mark.parametrize(
    ("old", "new"), [*NUMBERS, ("g(x", "h(x"), ("(self, x)", "(self, x=None)"), ("n: int", "n: float")]
)
def test_what_computes_counts(package: Path, old: str, new: str) -> None:
    (package / "helper.py").write_text(CODE)
    before = digest("digested.main")
    assert old in CODE
    (package / "helper.py").write_text(CODE.replace(old, new))
    assert digest("digested.main") != before


@given(st.text(max_size=20))
def test_every_constant_has_a_digest(text: str) -> None:
    tree = code.ast.parse(f"x = {text!r}")
    assert code.canonical(code._plain(tree)).encode("ascii", "backslashreplace")


def test_one_definition_counts_alone(package: Path) -> None:
    (package / "helper.py").write_text(CODE)
    code.forget()
    before = definition_digest("digested.helper:P.f")
    (package / "helper.py").write_text("y = 2\n" + CODE.replace("Field(3", "Field(4"))
    code.forget()
    assert definition_digest("digested.helper:P.f") == before
    (package / "helper.py").write_text(CODE.replace("1.0", "2.0"))
    code.forget()
    assert definition_digest("digested.helper:P.f") != before
    with pytest.raises(LookupError, match=r"digested\.helper:P\.g"):
        definition_digest("digested.helper:P.g")
