"""A one-file plugin with a student that does several runs on one set at once, and ends in several ways when it does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

import numpy as np

from bench.api import Context, DistilledSet, Field, NotApplicable, Params, Queries, Student, StudentSpec, hookimpl


class ChoirParams(Params):
    width: int = Field(2, ge=0, description="The most runs that it does at once.")
    how: str = Field("", description="Ends badly, of several runs: raise, die, sleep, many. unlucky: by the seed.")


class Choir(Student):
    """Answers with the class whose texts share most words with a query, ties and near ties by the run's generator."""

    def refuses(self, distilled: DistilledSet) -> str | None:
        return None  # without examples it guesses

    def predict(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> np.ndarray:
        note("predict")
        return self.answer(distilled, queries, ctx)

    def predict_many(
        self, distilled: DistilledSet, queries: Queries, contexts: Sequence[Context]
    ) -> Sequence[np.ndarray]:
        note(f"offered {len(contexts)}")
        match self.params.how:
            case "raise":
                raise RuntimeError("they fell over together")
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "sleep":
                time.sleep(60)
            case "refuse":
                raise NotApplicable("not together")
        taken = contexts[: self.params.width]
        found = [self.answer(distilled, queries, ctx) for ctx in taken]
        contexts[0].progress(1, 1, "singing")
        return found * 5 if self.params.how == "many" else found

    def answer(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> np.ndarray:
        if self.params.how == "unlucky" and ctx.seed % 3 == 0:
            raise ValueError("an unlucky seed")
        assert distilled.texts is not None
        texts, asked = distilled.texts["text"], queries.texts["text"]
        words = [
            {word for text, label in zip(texts, distilled.labels, strict=True) if label == c for word in text.split()}
            for c in range(queries.info.n_classes)
        ]
        scores = np.array([[len(known.intersection(text.split())) for known in words] for text in asked])
        return (scores + ctx.rng("tie").normal(0, 1, scores.shape)).argmax(1)


def note(what: str) -> None:
    with open(os.path.join(os.environ["BENCH_TEST_CALLS"], what), "a") as file:
        file.write("x")


@hookimpl
def bench_students() -> Sequence[StudentSpec]:
    return [StudentSpec(name="choir", summary="Many at once.", target=f"{__name__}:Choir", params=ChoirParams)]
