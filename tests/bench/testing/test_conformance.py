"""The conformance kit: built-ins pass it, and each rule catches a plugin that breaks it."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench import plugins
from bench.api import MethodSpec, Spec, StudentSpec, TaskSpec
from bench.settings import Settings
from bench.testing import ConformanceError, check_method, check_student, check_task, pair_task, topic_task

IMPORTS = """
import dataclasses
import itertools
import os
import random

import numpy as np
import torch

from bench.api import DistilledSet, Method, NotApplicable, Params, Part, Split, Student, Task, TaskData, TaskInfo
from bench.testing import topic_task


def draw(data, dpc, rng):
    return [int(r) for c in range(data.info.n_classes) for r in rng.permutation(data.class_rows(c))[:dpc]]


def labels_of(queries, distilled, shift=0):
    return (np.arange(len(queries)) + int(distilled.labels.sum()) + shift) % queries.info.n_classes


COUNT = itertools.count()
KEPT = []
"""
Module = Callable[[str], ModuleType]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """Import a plugin's code from source."""

    def make(source: str) -> ModuleType:
        (tmp_path / "kit_subject.py").write_text(IMPORTS + textwrap.dedent(source), encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "kit_subject", raising=False)
        import kit_subject  # type: ignore[import-not-found]

        monkeypatch.setitem(sys.modules, "kit_subject", kit_subject)
        return kit_subject

    return make


def built_in(kind: str, name: str, tmp_path: Path) -> Any:
    return plugins.load(Settings.make(cache=tmp_path)).spec(kind, name)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("random", {}),
        ("full", {}),
        ("kcenters", {"pooling": "mean"}),
        ("kcenter-greedy", {}),
        ("kcenter-greedy", {"start": "mean"}),
        ("herding", {}),
        ("herding", {"variant": "welling"}),
        ("vote-k", {"neighbours": 2}),
        ("dpp", {}),
        ("dpp", {"start": "mean"}),
    ],
)
def test_built_in_methods_conform(name: str, params: dict[str, Any], tiny_encoder: Path, tmp_path: Path) -> None:
    spec = built_in("method", name, tmp_path)
    if "encoder" in spec.params.model_fields:
        params = {**params, "encoder": str(tiny_encoder), "max_length": 64}
    check_method(spec, params)


def test_built_in_table_conforms(tmp_path: Path) -> None:
    file = tmp_path / "notes.csv"
    rows = [(text, label) for part in ("train", "validation", "test") for text, label in _rows(part)]
    file.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows), encoding="utf-8")
    check_task(built_in("task", "table", tmp_path), {"path": str(file)})


def _rows(part: str) -> list[tuple[str, str]]:
    data = topic_task()
    split = getattr(data, part)
    names = data.info.label_names
    return [(text, names[label]) for text, label in zip(split.texts["sentence"], split.labels, strict=True)]


@pytest.mark.parametrize("data", [topic_task(), pair_task()], ids=lambda data: data.info.label)
def test_kit_data_is_balanced_and_disjoint(data: Any) -> None:
    rows = []
    for split in (data.train, data.validation, data.test):
        counts = {label: split.labels.tolist().count(label) for label in range(data.info.n_classes)}
        assert len(set(counts.values())) == 1
        rows += list(zip(*split.texts.values(), strict=True))
    assert len(set(rows)) == len(rows)


METHODS = {
    "rng = ctx.rng('rows'); return DistilledSet.from_rows(data, draw(data, dpc, rng))": "",
    "return DistilledSet.from_rows(data, draw(data, dpc, np.random.mtrand._rand))": "generator of numpy.random",
    "random.random(); return DistilledSet.from_rows(data, draw(data, dpc, ctx.rng()))": "generator of random",
    "torch.rand(1); return DistilledSet.from_rows(data, draw(data, dpc, ctx.rng()))": "generator of torch",
    "torch.manual_seed(ctx.seed); return DistilledSet.from_rows(data, draw(data, dpc, ctx.rng()))": "of torch",
    "return DistilledSet.from_rows(data, draw(data, dpc + 1, ctx.rng()))": "examples by class are",
    "return DistilledSet.from_rows(data, draw(data, dpc, np.random.default_rng(next(COUNT))))": "the same seed gives",
    "self.n = getattr(self, 'n', 0) + 1; return DistilledSet.from_rows(data, draw(data, dpc, ctx.rng(self.n)))": (
        "after another call"
    ),
    "data.train.labels[:] = 0; return DistilledSet.from_rows(data, [0])": "take a copy and change that",
    "data.validation.texts[data.info.fields[0]][0] = ''; return DistilledSet.from_rows(data, [0])": "take a copy and",
    "data.train.__dict__['labels'] = data.train.labels * 0; return DistilledSet.from_rows(data, [0])": (
        "changed train.labels of what it was lent"
    ),
    "KEPT.append(KEPT or draw(data, dpc, ctx.rng())); return DistilledSet.from_rows(data, KEPT[0])": "it keeps state",
    "return DistilledSet.from_rows(data, draw(data, dpc, np.random.default_rng()))": "by a fresh instance: draw from",
    "return DistilledSet.from_rows(data, draw(data, dpc, np.random.default_rng(0)))": (
        "method 'subject' ignores its seed: 5 seeds gave the same set on each task of the kit; draw from ctx.rng()"
    ),
    "torch.set_default_dtype(torch.float64); return DistilledSet.from_rows(data, draw(data, dpc, ctx.rng()))": (
        "left torch's default dtype changed"
    ),
    "os.environ['SUBJECT'] = '1'; return DistilledSet.from_rows(data, draw(data, dpc, ctx.rng()))": (
        "left the environment (SUBJECT) changed"
    ),
    "return DistilledSet.from_rows(data, data.nothing)": "(the first call) raised AttributeError: 'TrainData' object",
    "return [1, 2]": "returned list, not a DistilledSet",
    "s = DistilledSet.from_rows(data, draw(data, dpc, ctx.rng())); s.labels[:] = s.labels[::-1]; return s": (
        "labels differ from those of the rows"
    ),
    "s = DistilledSet.from_rows(data, draw(data, dpc, ctx.rng())); s.rows[:] = s.rows[0]; return s": "row twice",
    "s = DistilledSet.from_rows(data, draw(data, dpc, ctx.rng())); s.rows[-1] += 100; return s": "does not have",
    "s = DistilledSet.from_rows(data, draw(data, dpc, ctx.rng())); s.texts[data.info.fields[0]][0] = 'x'; return s": (
        "differ from those of the rows"
    ),
    "s = DistilledSet.from_rows(data, draw(data, dpc, ctx.rng())); s.texts[data.info.fields[0]][0] = ' '; return s": (
        "empty text"
    ),
    "return DistilledSet.from_rows(data, draw(data, dpc, ctx.rng()), tensor=torch.ones(2))": "are no JSON",
    "raise NotApplicable('never')": "not applicable",
}


@pytest.mark.parametrize(("body", "said"), METHODS.items())
def test_methods(module: Module, body: str, said: str) -> None:
    module(f"class Subject(Method):\n    def distill(self, data, dpc, ctx):\n        {body}\n")
    judge(check_method, MethodSpec(name="subject", summary="S.", target="kit_subject:Subject"), said)


def judge(check: Callable[..., None], spec: Spec, said: str) -> None:
    """The kit must accept when `said` is empty, else refuse in one line with these words."""
    if not said:
        check(spec)
        return
    with pytest.raises(ConformanceError) as caught:
        check(spec)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_deterministic_method_must_not_hang_on_the_seed(module: Module) -> None:
    body = "return DistilledSet.from_rows(data, draw(data, dpc, ctx.rng()))"
    module(f"class Subject(Method):\n    def distill(self, data, dpc, ctx):\n        {body}\n")
    spec = MethodSpec(name="subject", summary="S.", target="kit_subject:Subject", deterministic=True)
    judge(check_method, spec, "but the spec says deterministic=True")


PARTS = """
def order(part, data, ctx):
    def build(folder):
        rng = SOURCE
        np.save(folder / "order.npy", rng.permutation(len(data.train)))
    kind, fields, code = ctx.address(part)
    return ctx.artifact(kind, fields, build, code)


def make(parts, data, ctx):
    BODY


def parts(params, dpc=None, seed=0):
    return DECLARED


class Subject(Method):
    def distill(self, data, dpc, ctx):
        order = np.load(ctx.part(PARTS) / "order.npy")
        mine = [order[data.train.labels[order] == c][:dpc] for c in range(data.info.n_classes)]
        return DistilledSet.from_rows(data, np.concatenate(mine))
"""
GOOD = {
    "SOURCE": "ctx.rng('order', part.fields['n'])",
    "BODY": "[order(part, data, ctx) for part in parts]; return {}",
    "DECLARED": "[part(n) for n in range(3)]",
    "PARTS": "part(1)",
}
PART = "Part(kind='order', fields={'n': n}, make='kit_subject:make', together='orders')"
BAD_PARTS: list[tuple[dict[str, str], str]] = [
    ({}, ""),
    ({"SOURCE": "ctx.rng()"}, ""),  # a part has a seed of its own, not that of the job that makes it
    ({"SOURCE": "np.random.default_rng(len(KEPT)); KEPT.append(1)"}, "the part 'order' is another one when it is made"),
    ({"SOURCE": "np.random.mtrand._rand"}, "generator of numpy.random"),
    ({"BODY": "return {}"}, "did not make the part 'order' that it was asked for"),
    ({"BODY": "return None"}, "kit_subject:make gave NoneType, not a mapping"),
    ({"BODY": "return {0: ValueError('it exploded')}"}, "ValueError: it exploded"),
    ({"BODY": "[order(part, data, ctx) for part in parts]; data.train.labels[:] = 0"}, "take a copy and change that"),
    ({"PARTS": "part(7)"}, "distill makes another 'order' than `parts` of the spec names"),
    ({"PARTS": "part(dpc)", "DECLARED": "[part(1)]"}, "distill makes another 'order' than `parts` of the spec names"),
    ({"DECLARED": "[part(next(COUNT))]"}, "gives other parts for equal parameters"),
    ({"DECLARED": "[part({1})]"}, "`fields` of the part 'order' are no JSON"),
    ({"DECLARED": "[1]"}, "`parts` of its spec gave 1, not a Part"),
    ({"DECLARED": "params.nothing"}, "`parts` of its spec fails: AttributeError"),
    ({"DECLARED": "[dataclasses.replace(part(1), make='order')]"}, "must have the form 'package.module:function'"),
    ({"DECLARED": "[dataclasses.replace(part('minilm'), assets=('n',))]"}, "which `assets` of the spec does not give"),
]


def parts_module(module: Module, change: dict[str, str]) -> MethodSpec:
    source = PARTS
    for name, text in (GOOD | change).items():
        source = re.sub(rf"\b{name}\b", lambda _, text=text: text, source)  # type: ignore[misc]
    found = module(f"def part(n):\n    return {PART}\n{source}")
    target = "kit_subject:Subject"
    return MethodSpec(name="subject", summary="S.", target=target, parts=found.parts, deterministic=True)


@pytest.mark.parametrize(("change", "said"), BAD_PARTS, ids=[str(change) for change, _ in BAD_PARTS])
def test_methods_with_parts(module: Module, change: dict[str, str], said: str) -> None:
    judge(check_method, parts_module(module, change), said)


def test_an_error_of_a_part_is_kept_as_the_cause(module: Module) -> None:
    """Of a part that no set of the kit asks for."""
    body = "return {n: ValueError('it exploded') for n, p in enumerate(parts) if order(p, data, ctx) and p.fields['n']}"
    spec = parts_module(module, {"BODY": body, "PARTS": "part(0)"})
    with pytest.raises(ConformanceError, match=r"kit_subject:make gave the error ValueError: it exploded") as caught:
        check_method(spec)
    assert isinstance(caught.value.__cause__, ValueError)


STUDENTS = {
    "return labels_of(queries, distilled, ctx.seed)": "",
    "self.n = getattr(self, 'n', 0) + 1; return labels_of(queries, distilled, self.n)": "a run leaves a trace",
    "KEPT.append(ctx.seed); return labels_of(queries, distilled, KEPT[0])": "answers otherwise than alone",
    "self.n = max(getattr(self, 'n', 0), len(distilled)); return labels_of(queries, distilled, self.n // 3)": "after",
    "return np.random.default_rng().integers(0, 2, len(queries))": "a fresh instance answers otherwise",
    "queries.texts[queries.info.fields[0]][0] = 'x'; return labels_of(queries, distilled)": "take a copy and change",
    "torch.set_num_threads(torch.get_num_threads() + 1); return labels_of(queries, distilled)": "number of threads",
    "np.random.rand(); return labels_of(queries, distilled)": "generator of numpy.random",
    "return labels_of(queries, distilled)[:-1]": "is needed",
    "return labels_of(queries, distilled) + 1": "outside 0..",
    "return labels_of(queries, distilled).astype(float)": "is needed",
    "distilled.labels[:] = 0; return labels_of(queries, distilled)": "take a copy and change that",
    "raise NotApplicable('never')": "refuses every set",
}


@pytest.mark.parametrize(("body", "said"), STUDENTS.items())
def test_students(module: Module, body: str, said: str) -> None:
    module(f"class Subject(Student):\n    def predict(self, distilled, queries, ctx):\n        {body}\n")
    judge(check_student, StudentSpec(name="subject", summary="S.", target="kit_subject:Subject"), said)


EMBEDDED = """
class SubjectParams(Params):
    model: Annotated[str, AssetRef()] = "none"


class Subject(Student):
    def refuses(self, distilled):
        e = distilled.embeddings
        return "foreign" if distilled.texts is None and e.encoder != self.params.model else None

    def reads(self, distilled):
        READS

    def predict(self, distilled, queries, ctx):
        read = self.reads(distilled)
        # texts count one, embeddings what their labels say
        shift = 0 if READ == "texts" else int(round(10 * distilled.embeddings.label_distribution.max())) + 1
        BODY
        return labels_of(queries, distilled, ctx.seed + shift)
"""
USUAL = {"READS": "return super().reads(distilled)", "READ": "read", "BODY": ""}
ON_EMBEDDINGS: list[tuple[dict[str, str], str]] = [
    ({}, ""),
    ({"READS": "return 'embeddings' if distilled.embeddings is not None else 'texts'"}, ""),
    ({"READS": "return 'embeddings'"}, "says that it reads 'embeddings' of a set that has none"),
    ({"READS": "return 'neither'"}, "says that it reads 'neither'"),
    (
        {"READ": "('embeddings' if distilled.embeddings else 'texts')"},
        "says that it reads the texts of a set that has both",
    ),
    ({"BODY": "distilled.embeddings and distilled.embeddings.inputs_embeds.fill(0)"}, "take a copy and change that"),
    ({"BODY": "self.n = getattr(self, 'n', 0) + (read != 'texts'); shift += self.n // 2"}, "a run leaves a trace"),
    ({"BODY": "shift += read != 'texts' and np.random.rand() > 2"}, "generator of numpy.random"),
    (
        {"BODY": "shift += (read != 'texts') * np.random.default_rng().integers(9, size=len(queries))"},
        "answers otherwise",
    ),
]


@pytest.mark.parametrize(("change", "said"), ON_EMBEDDINGS, ids=[str(change) for change, _ in ON_EMBEDDINGS])
def test_students_on_embeddings(module: Module, change: dict[str, str], said: str, tiny_encoder: Path) -> None:
    source = EMBEDDED
    for name, text in (USUAL | change).items():
        source = re.sub(rf"\b{name}\b", lambda _, text=text: text, source)  # type: ignore[misc]
    found = module(f"from typing import Annotated\nfrom bench.api import AssetRef\n{source}")
    spec = StudentSpec(name="subject", summary="S.", target="kit_subject:Subject", params=found.SubjectParams)
    judge(lambda spec: check_student(spec, {"model": str(tiny_encoder)}), spec, said)


def test_students_that_read_what_is_not_there(module: Module) -> None:
    """Embeddings of no encoder have to be refused, not met with an error."""
    body = "def refuses(self, distilled): return None\n    def predict(self, distilled, queries, ctx):\n        "
    module(f"class Subject(Student):\n    {body}return labels_of(queries, distilled, len(distilled.texts))\n")
    judge(check_student, StudentSpec(name="subject", summary="S.", target="kit_subject:Subject"), "raised TypeError")


TOGETHER = """
class Subject(Student):
    def predict(self, distilled, queries, ctx):
        return self.answer(distilled, queries, ctx.seed)

    def answer(self, distilled, queries, seed):
        return labels_of(queries, distilled, seed)

    def predict_many(self, distilled, queries, contexts):
        BODY
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return [self.predict(distilled, queries, ctx) for ctx in contexts]", ""),
        ("return [self.predict(distilled, queries, ctx) for ctx in contexts[:2]]", ""),
        ("return [self.predict(distilled, queries, contexts[0])] * len(contexts)", "than alone with seed 32"),
        ("return [self.predict(distilled, queries, ctx) for ctx in contexts[::-1]]", "than alone with seed 31"),
        ("return []", "gave 0 answers for 3 runs; 1 to 3 are needed"),
        ("return [self.predict(distilled, queries, contexts[0])] * 4", "gave 4 answers for 3 runs"),
        ("return [np.full(3, 0)]", "returned int64 (3,)"),
        ("random.random(); return [self.predict(distilled, queries, contexts[0])]", "global generator of random"),
        ("contexts[7]", "raised IndexError"),
    ],
)
def test_students_that_do_several_runs_at_once(module: Module, body: str, said: str) -> None:
    module(TOGETHER.replace("BODY", body))
    judge(check_student, StudentSpec(name="subject", summary="S.", target="kit_subject:Subject"), said)


WARM = """
from sklearn.linear_model import SGDClassifier


class Subject(Student):
    model = None

    def predict(self, distilled, queries, ctx):
        self.model = self.model or SGDClassifier(random_state=ctx.seed)
        field, classes = queries.info.fields[0], np.arange(queries.info.n_classes)
        train, test = ([[len(text)] for text in each.texts[field]] for each in (distilled, queries))
        return self.model.partial_fit(train, distilled.labels, classes=classes).predict(test)
"""


def test_a_student_that_cannot_go_on_after_another_task_is_told_why(module: Module) -> None:
    module(WARM)
    with pytest.raises(ConformanceError) as caught:
        check_student(StudentSpec(name="warm", summary="S.", target="kit_subject:Subject"))
    line = str(caught.value)
    assert line.startswith("student 'warm' (run 2 of one instance, after one on kit-topics, 3 examples, seed 21)")
    assert "a run leaves a trace in the next; reset all that was trained, from copies" in line
    module(WARM.replace("self.model = self.model or", "self.model ="))
    check_student(StudentSpec(name="warm", summary="S.", target="kit_subject:Subject"))


def test_the_cause_of_an_error_is_kept(module: Module) -> None:
    kept = "self.model = self.model if self.model and queries.info.n_classes == 2 else"
    module(WARM.replace("self.model = self.model or", kept))
    line = "run 4 of one instance, after one on kit-topics, .* raised ValueError: .*; alone on kit-pairs, .* it did not"
    with pytest.raises(ConformanceError, match=line) as got:
        check_student(StudentSpec(name="warm", summary="S.", target="kit_subject:Subject"))
    assert isinstance(got.value.__cause__, ValueError)


TASKS = {
    "return topic_task()": "",
    "random.random(); return topic_task()": "generator of random",
    "d = topic_task(); return TaskData(d.info, d.train, d.validation, d.validation)": "of the test rows also stand in",
    "d = topic_task(); d.train.labels[0] = 7; return d": "label 7 in train",
    "d = topic_task(); d.train.texts['sentence'][next(COUNT)] = 'x'; return d": "loaded twice",
    "d = topic_task(); d.train.texts['sentence'][ctx.seed % 7] = 'x'; return d": "loaded twice",
    "d = topic_task(); d.train.texts['sentence'][0] = ''; return d": "empty text",
    "d = topic_task(); i = TaskInfo('t', ('sentence',), ('a', 'b', 'b')); "
    "return TaskData(i, d.train, d.validation, d.test)": "two classes have one name",
    "d = topic_task(); i = TaskInfo('t', ('sentence',), ('a', 'b', 'c'), 'accuracy_f1'); "
    "return TaskData(i, d.train, d.validation, d.test)": "accuracy_f1 is for two classes",
    "return None": "loaded NoneType, not a TaskData",
}


@pytest.mark.parametrize(("body", "said"), TASKS.items())
def test_tasks(module: Module, body: str, said: str) -> None:
    module(f"class Subject(Task):\n    def load(self, ctx):\n        {body}\n")
    judge(check_task, TaskSpec(name="subject", summary="S.", target="kit_subject:Subject"), said)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (MethodSpec(name="Bad", summary="S.", target="a.b:C"), "a name has lower-case letters"),
        (MethodSpec(name="bad", summary="S.", target="no_such_module:C"), "cannot import no_such_module"),
        (MethodSpec(name="bad", summary="S.", target="bench.api:Task"), "is no subclass of bench.api.Method"),
        (MethodSpec(name="bad", summary="S.", target="a.b:C", assets=lambda params: "one"), "a list of references"),
    ],
)
def test_specs(spec: MethodSpec, said: str) -> None:
    judge(check_method, spec, said)


def test_missing_parameters_are_named(tmp_path: Path) -> None:
    judge(check_task, built_in("task", "table", tmp_path), "table needs the parameter 'path'")


def test_shared_rows_may_be_allowed(module: Module) -> None:
    module(
        "class Subject(Task):\n    def load(self, ctx):\n"
        "        d = topic_task(); return TaskData(d.info, d.train, d.validation, d.validation)\n"
    )
    check_task(TaskSpec(name="subject", summary="S.", target="kit_subject:Subject"), shared_rows=1.0)
