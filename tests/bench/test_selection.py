"""The selection grammar: what it means, and one line for every mistake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from bench.api import MethodSpec, Params, TaskSpec
from bench.data.tables import SUFFIXES
from bench.errors import UserError
from bench.plugins import Registry
from bench.selection import Choice, identity, parse
from bench.store.identity import key_of
from bench.store.labels import split, value_of, written


class CentersParams(Params):
    encoder: str = "base"
    pooling: Literal["cls", "mean"] = "cls"
    rounds: int = Field(default=3, ge=1, le=9)
    layers: list[int] = Field(default=[1])
    rate: float | None = None
    sure: bool = False


class StartedParams(CentersParams):
    idle = {("pooling", "mean"): ("rounds", "layers"), ("sure", False): ("rate",)}  # noqa: RUF012


class TableParams(Params):
    path: str = Field(min_length=1)
    text: list[str] = Field(default=[], max_length=2, description="one or two columns")
    label: str = ""


REGISTRY = Registry(
    tasks={
        "table": TaskSpec(name="table", summary="S.", target="a.b:C", params=TableParams, files=SUFFIXES),
        "news": TaskSpec(name="news", summary="S.", target="a.b:C"),
    },
    methods={
        "random": MethodSpec(name="random", summary="S.", target="a.b:C"),
        "centers": MethodSpec(name="centers", summary="S.", target="a.b:C", params=CentersParams),
        "centers-mean": MethodSpec(
            name="centers-mean", summary="S.", target="a.b:C", params=CentersParams, preset={"pooling": "mean"}
        ),
        "greedy": MethodSpec(name="greedy", summary="S.", target="a.b:C", params=CentersParams),
        "started": MethodSpec(name="started", summary="S.", target="a.b:C", params=StartedParams),
    },
    students={},
    assets={},
    plugins=[],
)
POOL = ("random", "centers[rounds=5]", "greedy")
DEFAULTS = {"greedy": {"pooling": "mean", "rounds": 4}}


def methods(text: str, pool: Sequence[str] = POOL, defaults: Any = DEFAULTS) -> list[Choice]:
    return parse(text, "method", REGISTRY, pool, defaults)


def labels(text: str) -> list[str]:
    return [choice.label for choice in methods(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("random", ["random"]),
        (" random , centers ", ["random", "centers"]),
        ("centers,random", ["centers", "random"]),
        ("all", ["random", "centers[rounds=5]", "greedy"]),
        ("all,-greedy", ["random", "centers[rounds=5]"]),
        ("all,-centers", ["random", "greedy"]),
        ("all,centers", ["random", "centers[rounds=5]", "greedy", "centers"]),
        ("all,-centers,centers[rounds=7]", ["random", "greedy", "centers[rounds=7]"]),
        ("centers,centers[rounds=7],-centers[rounds=7]", ["centers"]),
        ("random,random", ["random"]),
        ("centers[rounds=3],centers", ["centers"]),
        ("centers[pooling=mean,encoder=x]", ["centers[encoder=x,pooling=mean]"]),
        ("centers[]", ["centers"]),
        ("greedy[rounds=3]", ["greedy[rounds=3]"]),  # the model's default, but not the suite's
        ("greedy[rounds=4]", ["greedy"]),
        ("centers-mean[pooling=mean]", ["centers-mean"]),
        ("centers-mean[pooling=cls]", ["centers-mean[pooling=cls]"]),
        ("centers[layers=[1,2]],random", ["centers[layers=[1,2]]", "random"]),
        ('centers[encoder="a,b]"],random', ['centers[encoder="a,b]"]', "random"]),
        ("centers[encoder=hub:org/name@3f]", ["centers[encoder=hub:org/name@3f]"]),
        ("centers[rate=1e-4]", ["centers[rate=0.0001]"]),
        ("centers[sure=true]", ["centers[sure=true]"]),
    ],
)
def test_selection(text: str, expected: list[str]) -> None:
    assert labels(text) == expected


@pytest.mark.parametrize("text", ["all", "centers[pooling=mean,layers=[4],encoder=1e3,rate=2],random", "centers-mean"])
def test_labels_select_the_same_again(text: str) -> None:
    first = methods(text)
    again = methods(",".join(choice.label for choice in first))
    assert [identity(choice) for choice in again] == [identity(choice) for choice in first]


def test_parameters_are_validated_and_defaults_resolved() -> None:
    (choice,) = methods("greedy[rate=2,sure=true]")
    assert choice.params == CentersParams(pooling="mean", rounds=4, rate=2.0, sure=True)
    assert choice.spec is REGISTRY.methods["greedy"]


def test_a_suites_parameters_without_effect_are_passed_over() -> None:
    """Those of another start, which the suite sets for the usual one; what the user sets is not passed over."""
    defaults = {"started": {"rounds": 5, "sure": True, "rate": 0.5, "encoder": "suite"}}
    for text, expected in {
        "started": StartedParams(rounds=5, sure=True, rate=0.5, encoder="suite"),
        "started[pooling=mean]": StartedParams(pooling="mean", sure=True, rate=0.5, encoder="suite"),
        "started[sure=false]": StartedParams(rounds=5, encoder="suite"),
        "started[pooling=mean,sure=false]": StartedParams(pooling="mean", encoder="suite"),
        "started[pooling=mean,rounds=3]": StartedParams(pooling="mean", sure=True, rate=0.5, encoder="suite"),
    }.items():
        (choice,) = methods(text, defaults=defaults)
        assert choice.params == expected
        (again,) = methods(choice.label, defaults=defaults)
        assert identity(again) == identity(choice)
    for text, said in {
        "started[pooling=mean,rounds=5]": "started: rounds has no effect with pooling=mean: leave it out",
        "started[sure=false,rate=0.5]": "started: rate has no effect with sure=False: leave it out",
    }.items():
        with pytest.raises(UserError) as caught:
            methods(text, defaults=defaults)
        assert str(caught.value) == said


@pytest.mark.parametrize(("text", "value"), [("12345", "12345"), ("1e3", "1e3"), ("true", "true"), ("null", "null")])
def test_text_that_looks_like_a_number_stays_text_where_text_is_wanted(text: str, value: str) -> None:
    (choice,) = methods(f"centers[encoder={text}]")
    assert choice.params.encoder == value  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("centres", "no method 'centres'; did you mean 'centers'?"),
        ("centers[poolng=cls]", "centers has no parameter 'poolng'; did you mean 'pooling'?"),
        ("random[x=1]", "random has no parameter 'x'; it takes none"),
        ("centers[rounds=0]", "centers: parameter 'rounds' is 0, but must be at least 1"),
        ("centers[rounds=10]", "centers: parameter 'rounds' is 10, but must be at most 9"),
        ("centers[pooling=max]", "centers: parameter 'pooling' is 'max', but must be 'cls' or 'mean'"),
        ("centers[rounds=x]", "centers: parameter 'rounds' is 'x': input should be a valid integer"),
        ("centers[layers=[1,x]]", "centers: parameter 'layers', value 2, is 'x': input should be a valid integer"),
        ("centers[layers=1]", "centers: parameter 'layers' is 1, but must be a list: centers[layers=[1]]"),
        ("centers[rate=NaN]", "centers: parameter 'rate' is 'NaN': input should be a finite number"),
        ("centers[rounds]", "centers[rounds]: 'rounds' is no key=value"),
        ("centers[rounds=1,rounds=2]", "the parameter 'rounds' is given twice"),
        ("centers[rounds=1", "a bracket is not closed"),
        ("centers]", "a bracket is not closed"),
        ('centers[encoder="a]', "a quote is not closed"),
        ("centers[rounds=1]x", "cannot read 'centers[rounds=1]x' as a method"),
        ("", "no method is selected by ''"),
        (" , ", "no method is selected by"),
        ("all,-random,-centers,-greedy", "no method is selected by"),
        ("-random", "'-random' leaves out nothing that is selected"),
        ("all,-gredy", "'-gredy' leaves out nothing that is selected; did you mean 'greedy'?"),
        ("all,-centers[rounds=6]", "leaves out nothing; selected: centers[rounds=5]"),
        ("random:x", "random takes no ':x', it has no parameter 'path'"),
    ],
)
def test_mistakes_are_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        methods(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_needs_a_pool() -> None:
    with pytest.raises(UserError, match="'all' selects nothing: the suite names no methods"):
        methods("all", pool=())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("table:reviews.csv", ["table:reviews.csv"]),
        ("table:/data/x-1/reviews.csv", ["table:reviews.csv"]),
        ("table:c:/data/reviews.csv,news", ["table:reviews.csv", "news"]),
        ("table:a/r.csv,table:b/r.csv,table:a/s.csv", ["table:a/r.csv", "table:b/r.csv", "table:s.csv"]),
        ("table:a/r.csv[label=stars,text=[title,body]]", ['table:r.csv[label=stars,text=["title","body"]]']),
        ("table[path=r.csv]", ["table[path=r.csv]"]),
        ("table:it's.csv,news", ["table:it's.csv", "news"]),
    ],
)
def test_table_takes_a_path(text: str, expected: list[str]) -> None:
    assert [choice.label for choice in parse(text, "task", REGISTRY)] == expected


def test_the_path_is_kept_whole() -> None:
    (choice,) = parse("table:/data/a b/r.csv", "task", REGISTRY)
    assert choice.params == TableParams(path="/data/a b/r.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("table", "table needs the parameter 'path'"),
        ("table:", "a path must follow 'table:'"),
        ("table:x.csv[path=y.csv]", "'path' is given twice"),
        ("news:x.csv", "news takes no ':x.csv', it has no parameter 'path'"),
        ("table:x.csv[text=[a,b,c]]", "table: at most 2 values in parameter 'text', not 3 (one or two columns)"),
        ("news,a/r.csv", "no task 'a/r.csv': for a file, write table:a/r.csv"),
        ("r.TSV[label=x]", "write table:r.TSV[label=x]"),
        ("c:/a/r.csv", "write table:c:/a/r.csv"),
        (__file__, f"write table:{__file__}"),
        ("table:a,b.csv", 'one path with a comma is written table[path="a,b.csv"]'),
        ("table:r[1].csv", "cannot read 'table:r[1].csv' as a task: .* table[path=\"r[1].csv\"]"),
        ("news,table:r[1.csv", 'a bracket is not closed or not opened; .* table[path="r[1.csv"]'),
    ],
)
def test_mistakes_with_a_path(text: str, message: str) -> None:
    with pytest.raises(UserError, match=r"table|news") as caught:
        parse(text, "task", REGISTRY)
    assert all(part in str(caught.value) for part in message.split(" .* "))


@pytest.mark.parametrize("path", ["a,b.csv", "r[1].csv", "r[1.csv", "a, [b]=c.csv"])
def test_a_quoted_path_may_hold_brackets_and_commas(path: str) -> None:
    first, second = parse(f'table[path="{path}"],news', "task", REGISTRY)
    assert first.params == TableParams(path=path)
    assert second.label == "news"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-2.5", -2.5),
        ("true", True),
        ("null", None),
        ("cls", "cls"),
        ("'a b'", "a b"),
        ('"3"', "3"),
        ("[1, 2]", [1, 2]),
        ("[cls,mean]", ["cls", "mean"]),
        ("[[1],[a,b]]", [[1], ["a", "b"]]),
        ("['a,b', c]", ["a,b", "c"]),
        ("it's", "it's"),
        ("{a = 1}", {"a": 1}),
        ("2024-01-02", "2024-01-02"),
        ("", ""),
        ("Infinity", "Infinity"),
        ("inf", "inf"),
    ],
)
def test_values(text: str, value: Any) -> None:
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


@given(
    st.one_of(
        st.text(), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False)
    ).flatmap(lambda value: st.sampled_from([value, [value, value]]))
)
def test_written_values_read_back(value: Any) -> None:
    text = written(value)
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)
    assert split(f"x[k={text}],y", "test") == [f"x[k={text}]", "y"]


WORDS = ["random", "centers", "greedy", "all", "table", "rounds", "encoder", "path", "text", "x.csv", "9" * 5000]
PIECES = st.sampled_from([*WORDS, *"[]{}=,:-'\"\\ \n", "\ud800", "\x00", "1e999", "[" * 200, "{a=" * 200, "a." * 3000])


@given(st.lists(st.one_of(PIECES, st.text(max_size=3)), max_size=12).map("".join), st.sampled_from(["method", "task"]))
def test_any_text_is_a_selection_or_one_error(text: str, kind: str) -> None:
    try:
        choices = parse(text, kind, REGISTRY, POOL if kind == "method" else ("news",), DEFAULTS)
    except UserError:
        return
    for choice in choices:
        key_of(identity(choice))


@pytest.mark.parametrize("value", ["[" * 5000 + "]" * 5000, '{"a":' * 5000 + "1" + "}" * 5000, '"\\ud800"'])
def test_values_beyond_all_reason_are_one_line(value: str) -> None:
    with pytest.raises(UserError) as caught:
        methods(f"centers[encoder={value}]")
    assert any(said in str(caught.value) for said in ("brackets; 100 at most", "half of a surrogate pair"))
