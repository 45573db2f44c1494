"""A one-file plugin for engine tests: a task on generated sentences, methods that end in every way, a small student.

The student is a real classifier (nearest class centroid of word counts, with a seeded random tie-break), so that
predictions depend on the set and on the run's seed.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import (
    Context,
    DistilledSet,
    Embeddings,
    Field,
    Method,
    MethodSpec,
    NotApplicable,
    Params,
    Part,
    Queries,
    Split,
    Student,
    StudentSpec,
    Task,
    TaskData,
    TaskInfo,
    TaskSpec,
    TrainData,
    UserError,
    hookimpl,
)

TOPICS = {
    "sport": ["team", "goal", "match", "coach", "league"],
    "money": ["bank", "profit", "shares", "market", "prices"],
}
FILLER = ["the", "a", "of", "in", "and", "to", "was", "this", "that", "said"]


class WordsParams(Params):
    rows: int = Field(60, ge=8, description="Train rows.")
    broken: str = Field("", description="What is wrong with it: empty, label, crash.")


class Words(Task):
    def load(self, ctx: Context) -> TaskData:
        if self.params.broken == "crash":
            raise RuntimeError("the task fell over")
        info = TaskInfo("words", ("text",), tuple(TOPICS))
        splits = [self._split(info, name, n) for name, n in (("train", self.params.rows), ("val", 20), ("test", 40))]
        return TaskData(info, *splits)

    def _split(self, info: TaskInfo, name: str, n: int) -> Split:
        rng = np.random.default_rng([ord(letter) for letter in name])
        labels = np.arange(n, dtype=np.int64) % 2
        texts = []
        for label in labels:
            words = [*rng.choice(TOPICS[info.label_names[label]], 2), *rng.choice(FILLER, 4), *rng.choice(FILLER, 1)]
            words += list(rng.choice([word for topic in TOPICS.values() for word in topic], 2))
            texts.append(" ".join(rng.permutation(words)))
        if self.params.broken == "empty" and name == "train":
            texts[3] = "  "
        if self.params.broken == "label" and name == "test":
            labels[5] = 7
        return Split({"text": texts}, labels)


class Pick(Method):
    """Rows of each class by the job's generator; counts its calls in a folder when BENCH_TEST_CALLS names one."""

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        assert dpc is not None
        note("distill")
        rng = ctx.rng("pick")
        rows = [rng.choice(data.class_rows(label), dpc, replace=False) for label in range(data.info.n_classes)]
        return DistilledSet.from_rows(data, np.concatenate(rows))


class Fixed(Method):
    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        note("distill")
        rows = [data.class_rows(label)[:dpc] for label in range(data.info.n_classes)]
        return DistilledSet.from_rows(data, np.concatenate(rows), why="the first rows")


class Drifting(Method):
    """Rows that hang on something which no key knows, as they may on a library's version."""

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        start = int(os.environ.get("BENCH_TEST_DRIFT", "0"))
        rows = [data.class_rows(label)[start : start + (dpc or 1)] for label in range(data.info.n_classes)]
        return DistilledSet.from_rows(data, np.concatenate(rows))


class Leak(Method):
    """The first example of each class is a test text; the others are not."""

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        test = Words(WordsParams()).load(ctx).test
        labels = np.repeat(np.arange(data.info.n_classes), dpc or 1)
        texts = [
            test.texts["text"][label] if i % (dpc or 1) == 0 else f"not {i} read" for i, label in enumerate(labels)
        ]
        return DistilledSet(labels=labels, texts={"text": texts})


def word_vector(word: str) -> np.ndarray:
    """Sixteen numbers that only this word has, float32."""
    return np.random.default_rng(list(word.encode())).standard_normal(16).astype(np.float32)


class Vectors(Method):
    """Embedding level: the first words of train rows as vectors, every other text a word shorter."""

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        rows = np.concatenate([data.class_rows(label)[: dpc or 1] for label in range(data.info.n_classes)])
        words = [data.train.texts["text"][row].split()[:4] for row in rows]
        note("vectors")
        labels = data.train.labels[rows]
        mask = np.ones((len(rows), 4), np.int64)
        mask[::2, 3] = 0
        embeddings = Embeddings(
            np.stack([[word_vector(word) for word in each] for each in words]),
            mask,
            np.eye(data.info.n_classes, dtype=np.float32)[labels] * 0.8 + 0.1,
            "words-16",
            step_sizes=np.array([0.5, 0.25], np.float32),
            groups=np.arange(len(rows)) % 2,
            nearest=[" ".join(each) for each in words],
        )
        return DistilledSet(labels=labels, embeddings=embeddings, diagnostics={"chosen_on": "nothing: the first rows"})


class FailParams(Params):
    how: str = Field("raise", description="raise, usage, refuse, die, sleep, label, memory, peek")


class Fail(Method):
    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        match self.params.how:
            case "raise":
                raise ValueError("something\nunexpected")
            case "usage":
                raise UserError("this method needs another kind of task")
            case "refuse":
                raise NotApplicable("only for pairs")
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "sleep":
                time.sleep(60)
            case "memory":
                raise MemoryError
            case "list":
                return []  # type: ignore[return-value]
            case "many":
                return DistilledSet.from_rows(data, np.arange(6))
            case "peek":
                ctx.features("test", "minilm")
        return DistilledSet(labels=np.array([0, 9]), texts={"text": ["a", "b"]})


class TrainedParams(Params):
    style: str = Field("plain", description="What is trained; variants of one style share it.")
    steps: int = Field(4, ge=1, description="Steps of the training, a checkpoint after each.")
    start: int = Field(0, ge=0, le=5, description="Seed of the training.")
    seconds: float = Field(0.0, ge=0, description="Sleep this long per step, to be interrupted in.")
    ends: str = Field("", description="How the training ends badly: raise, usage, refuse, report, die once, if asked.")
    job: str = Field("", description="How the whole call that trains ends badly: raise, sleep.")
    together: str = Field("", description="Variants with the same text here are trained by one call.")


class Trained(Method):
    """Trains a priority for each train row, in steps; a set takes some of the rows of the highest priorities."""

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        assert dpc is not None
        priorities = json.loads((ctx.part(*parts_of(self.params, dpc, 0)) / "priorities.json").read_text())
        rng = ctx.rng("rows")
        rows = []
        for label in range(data.info.n_classes):
            best = sorted(data.class_rows(label), key=lambda row: -priorities[row])[: 2 * dpc]
            rows.append(rng.choice(best, dpc, replace=False))
        return DistilledSet.from_rows(data, np.concatenate(rows))


def parts_of(params: TrainedParams, dpc: int | None, seed: int) -> Sequence[Part]:
    fields = params.model_dump(exclude={"together"})
    return [Part(kind="priorities", fields=fields, make=f"{__name__}:train_all", together=params.together)]


def train_all(parts: Sequence[Part], data: TrainData, ctx: Context) -> dict[int, Exception]:
    note("make")
    note(f"make {len(parts)}")
    match parts[0].fields["job"]:
        case "raise":
            raise RuntimeError("the job fell over")
        case "sleep":
            time.sleep(60)
    errors: dict[int, Exception] = {}
    for number, part in enumerate(parts):
        try:
            train(part, data, ctx)
        except Exception as error:
            errors[number] = error
    return errors


def train(part: Part, data: TrainData, ctx: Context) -> Path:
    address, params = ctx.address(part), TrainedParams.model_validate(part.fields)
    with ctx.workspace(*address) as workspace:
        checkpoint = workspace / "checkpoint.json"
        losses = json.loads(checkpoint.read_text()) if checkpoint.exists() else []
        while len(losses) < params.steps:
            time.sleep(params.seconds)
            ctx.progress(len(losses), params.steps, "training")
            if params.ends == "die once" and len(losses) == 2 and not (workspace / "died").exists():
                (workspace / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            losses.append(1 / (len(losses) + len(params.style)))
            (workspace / "part").write_text(json.dumps(losses))
            os.replace(workspace / "part", checkpoint)
            note("step")
        match params.ends:
            case "raise":
                raise ValueError("the loss exploded")
            case "usage":
                raise UserError("no such corpus")
            case "refuse":
                raise NotApplicable("only for pairs")
            case "if asked" if "BENCH_TEST_FAIL" in os.environ:
                raise ValueError("asked to fail")

        def build(folder: Path) -> None:
            rng = np.random.default_rng([len(params.style), params.start, round(1000 * sum(losses))])
            (folder / "priorities.json").write_text(json.dumps(rng.random(len(data.train)).tolist()))
            report = {
                "title": f"priorities in {params.style} style",
                "facts": {"steps": len(losses), "whole": True, "note": "a <b>fact</b>"},
                "curves": {"loss": {"x": list(range(1, len(losses) + 1)), "y": losses}},
                "curve_labels": {"loss": ["step", "nats"]},
                "texts": {"rows of the highest priority": [data.train.texts["text"][0], "<script>"]},
            }
            if params.ends == "report":
                report["facts"] = {"steps": None}
            (folder / "report.json").write_text(json.dumps(report))

        return ctx.artifact(*address[:2], build, address[2])


class SummedParams(Params):
    of: int = Field(2, ge=1, description="How many words are counted.")


class Summed(Method):
    """Rows by what two parts hold, of which one is made of the other."""

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        assert dpc is not None
        total = json.loads((ctx.part(*sums(self.params, dpc, 0)) / "total.json").read_text())
        rng = ctx.rng("rows", total)
        rows = [rng.choice(data.class_rows(label), dpc, replace=False) for label in range(data.info.n_classes)]
        return DistilledSet.from_rows(data, np.concatenate(rows))


def sums(params: SummedParams, dpc: int | None, seed: int) -> Sequence[Part]:
    count = Part(kind="count", fields={"of": params.of}, make=f"{__name__}:make_counts")
    return [Part(kind="sum", fields={}, make=f"{__name__}:make_sums", needs=(count,), together="sums")]


def make_counts(parts: Sequence[Part], data: TrainData, ctx: Context) -> dict[int, Exception]:
    note("count")
    (part,) = parts
    if part.fields["of"] > 12:
        return {0: too_many(part.fields["of"])}
    counts = [len(text.split()) for text in data.train.texts["text"][: part.fields["of"]]]
    keep(part, ctx, "counts.json", counts)
    return {}


def too_many(of: int) -> Exception:
    try:
        raise ValueError(f"{of} counts are too many")
    except ValueError as error:
        return error


def make_sums(parts: Sequence[Part], data: TrainData, ctx: Context) -> dict[int, Exception]:
    note(f"sum {len(parts)}")
    for part in parts:
        keep(part, ctx, "total.json", sum(json.loads((ctx.part(*part.needs) / "counts.json").read_text())))
    return {}


def keep(part: Part, ctx: Context, name: str, value: Any) -> None:
    kind, fields, code = ctx.address(part)
    ctx.artifact(kind, fields, lambda folder: (folder / name).write_text(json.dumps(value)), code)  # type: ignore[arg-type, return-value]


class CentroidParams(Params):
    seconds: float = Field(0.0, ge=0, description="Sleep this long per run, to be interrupted in.")
    how: str = Field("", description="'worse': fails in the first run of a worker, and is broken in the others.")


class Centroid(Student):
    runs = 0

    def predict(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> np.ndarray:
        note("predict")
        self.runs += 1
        if self.params.how == "worse":
            if self.runs == 1:
                raise RuntimeError("it fell over")
            return np.full(len(queries), 9)
        time.sleep(self.params.seconds)
        assert distilled.texts is not None
        own, asked = distilled.texts[queries.info.fields[0]], queries.texts[queries.info.fields[0]]
        vocabulary = {word: i for i, word in enumerate(sorted({w for t in own for w in t.split()}))}

        def count(texts: Sequence[str]) -> np.ndarray:
            found = np.zeros((len(texts), len(vocabulary)))
            for row, text in enumerate(texts):
                for word in text.split():
                    if word in vocabulary:
                        found[row, vocabulary[word]] += 1
            return found

        features = count(own)
        centroids = [features[distilled.labels == c].mean(0) for c in range(queries.info.n_classes)]
        scores = count(asked) @ np.stack(centroids).T
        return (scores + ctx.rng("tie").normal(0, 0.3, scores.shape)).argmax(1)


class Reader(Student):
    """Softmax regression on mean word vectors, trained from a random start by the set's own steps."""

    def refuses(self, distilled: DistilledSet) -> str | None:
        return "the set has no embedding level" if distilled.embeddings is None else None

    def predict(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> np.ndarray:
        e = distilled.embeddings
        assert e is not None
        assert e.step_sizes is not None
        assert e.groups is not None
        features = (e.inputs_embeds * e.attention_mask[..., None]).sum(1) / e.attention_mask.sum(1, keepdims=True)
        weights = ctx.rng("start").normal(0, 0.3, (16, queries.info.n_classes))
        for t, rate in enumerate(e.step_sizes):
            rows = e.groups == t % (e.groups.max() + 1)
            logits = np.exp(features[rows] @ weights)
            wrong = logits / logits.sum(1, keepdims=True) - e.label_distribution[rows]
            weights -= rate * features[rows].T @ wrong / rows.sum()
        asked = [np.mean([word_vector(word) for word in text.split()], axis=0) for text in queries.texts["text"]]
        return (np.stack(asked) @ weights).argmax(1)


def note(what: str) -> None:
    folder = os.environ.get("BENCH_TEST_CALLS")
    if folder:
        with open(os.path.join(folder, what), "a") as file:
            file.write("x")


@hookimpl
def bench_tasks() -> Sequence[TaskSpec]:
    return [TaskSpec(name="words", summary="Generated sentences.", target=f"{__name__}:Words", params=WordsParams)]


@hookimpl
def bench_methods() -> Sequence[MethodSpec]:
    trained: dict[str, Any] = {
        "target": f"{__name__}:Trained",
        "params": TrainedParams,
        "parts": parts_of,
        "prepared_by": "start",
    }
    return [
        MethodSpec(name="pick", summary="Random rows.", target=f"{__name__}:Pick", selects=True),
        MethodSpec(name="fixed", summary="The first rows.", target=f"{__name__}:Fixed", deterministic=True),
        MethodSpec(name="drifting", summary="Hangs on the machine.", target=f"{__name__}:Drifting", deterministic=True),
        MethodSpec(name="leak", summary="Knows test texts.", target=f"{__name__}:Leak", deterministic=True),
        MethodSpec(name="vectors", summary="Embedding level.", target=f"{__name__}:Vectors", deterministic=True),
        MethodSpec(name="vectors-alone", summary="Says so.", target=f"{__name__}:Vectors", texts=False),
        MethodSpec(name="pick-untrue", summary="Says it has no texts.", target=f"{__name__}:Pick", texts=False),
        MethodSpec(name="trained", summary="Trains first.", **trained),
        MethodSpec(name="trained-fancy", summary="Trains otherwise.", preset={"style": "fancy"}, **trained),
        MethodSpec(name="twin", summary="Trains the same, takes other rows.", **trained),
        MethodSpec(
            name="summed", summary="Parts of parts.", target=f"{__name__}:Summed", params=SummedParams, parts=sums
        ),
        MethodSpec(name="broken", summary="Cannot be imported.", target="no_such_module:Method"),
        MethodSpec(name="fail", summary="Ends badly.", target=f"{__name__}:Fail", params=FailParams),
    ]


@hookimpl
def bench_students() -> Sequence[StudentSpec]:
    return [
        StudentSpec(name="centroid", summary="Nearest centroid.", target=f"{__name__}:Centroid", params=CentroidParams),
        StudentSpec(name="reader", summary="Reads vectors.", target=f"{__name__}:Reader"),
        StudentSpec(
            name="words-only",
            summary="Reads texts alone.",
            target=f"{__name__}:Centroid",
            params=CentroidParams,
            needs_texts=True,
        ),
    ]
