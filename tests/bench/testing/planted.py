"""Ten plugins with one defect each, as docs/plugins.md lists them; what they do is real work otherwise."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence

import numpy as np

from bench.api import (
    Asset,
    Context,
    DistilledSet,
    Method,
    MethodSpec,
    Queries,
    Student,
    StudentSpec,
    TrainData,
    hookimpl,
)


def draw(data: TrainData, dpc: int | None, rng: np.random.Generator) -> DistilledSet:
    rows = [rng.choice(data.class_rows(label), dpc, replace=False) for label in range(data.info.n_classes)]
    return DistilledSet.from_rows(data, np.concatenate(rows))


class MutatedTexts(Method):
    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        texts = data.train.texts[data.info.fields[0]]
        for row, text in enumerate(texts):
            texts[row] = text.lower()  # type: ignore[index]
        return draw(data, dpc, ctx.rng())


class MutatedLabels(Method):
    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        labels = data.train.labels
        labels += 0 * labels
        return draw(data, dpc, ctx.rng())


class GlobalSeed(Method):
    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        np.random.seed(ctx.seed)
        rows = [np.random.permutation(data.class_rows(label))[:dpc] for label in range(data.info.n_classes)]
        return DistilledSet.from_rows(data, np.concatenate(rows))


class Unseeded(Method):
    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        return draw(data, dpc, np.random.default_rng())


class IgnoredSeed(Method):
    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        return draw(data, dpc, np.random.default_rng(0))


class UndeclaredAsset(Method):
    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        ctx.asset("minilm")
        return draw(data, dpc, ctx.rng())


class SocketOffline(Method):
    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        with contextlib.suppress(OSError):  # nobody listens there
            socket.create_connection(("127.0.0.1", 9), timeout=1).close()
        return draw(data, dpc, ctx.rng())


class TestRows(Method):
    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        texts = (ctx.asset("planted-data") / "test.txt").read_text(encoding="utf-8").splitlines()
        labels = np.repeat(np.arange(data.info.n_classes), dpc or 1)
        return DistilledSet(labels=labels, texts={name: texts[: len(labels)] for name in data.info.fields})


class Words:
    """Naive Bayes on the words of the first field."""

    def __init__(self, n_classes: int) -> None:
        self.counts: list[dict[str, int]] = [{} for _ in range(n_classes)]

    def learn(self, texts: Sequence[str], labels: Sequence[int]) -> None:
        for text, label in zip(texts, labels, strict=True):
            for word in text.lower().split():
                self.counts[label][word] = self.counts[label].get(word, 0) + 1

    def label(self, text: str, n_classes: int) -> int:
        scores = []
        for counts in self.counts[:n_classes]:
            size = sum(counts.values())
            scores.append(sum(np.log((counts.get(word, 0) + 1) / (size + 100)) for word in text.lower().split()))
        return int(np.argmax(scores))


class Bayes(Student):
    def learner(self, n_classes: int) -> Words:
        return Words(n_classes)

    def predict(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> np.ndarray:
        assert distilled.texts is not None
        field, n_classes = queries.info.fields[0], queries.info.n_classes
        learner = self.learner(n_classes)
        learner.learn(distilled.texts[field], distilled.labels.tolist())
        return np.array([learner.label(text, n_classes) for text in queries.texts[field]])


class MutatedQueries(Bayes):
    def predict(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> np.ndarray:
        for texts in queries.texts.values():
            texts[:] = [text.lower() for text in texts]  # type: ignore[index]
        return super().predict(distilled, queries, ctx)


class KeptState(Bayes):
    kept: Words | None = None

    def learner(self, n_classes: int) -> Words:
        self.kept = self.kept or Words(8)
        return self.kept


def spec(kind: type[MethodSpec] | type[StudentSpec], found: type, **more: object) -> MethodSpec | StudentSpec:
    name = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in found.__name__)[1:]
    return kind(name=name, summary="Has one defect.", target=f"{__name__}:{found.__name__}", **more)  # type: ignore[arg-type]


METHODS = (MutatedTexts, MutatedLabels, GlobalSeed, Unseeded, IgnoredSeed, UndeclaredAsset, SocketOffline)


@hookimpl
def bench_methods() -> Sequence[object]:
    found = [spec(MethodSpec, each) for each in METHODS]
    return [*found, spec(MethodSpec, TestRows, assets=lambda params: ["planted-data"])]


@hookimpl
def bench_students() -> Sequence[object]:
    return [spec(StudentSpec, each) for each in (Bayes, MutatedQueries, KeptState)]


@hookimpl
def bench_assets() -> Sequence[Asset]:
    more = {"content": "data", "licence": "none", "size_mb": 0.0}
    return [Asset(name="planted-data", summary="Test rows.", hub="none/planted", folder="planted", **more)]  # type: ignore[arg-type]
