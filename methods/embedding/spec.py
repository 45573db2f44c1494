"""What `bench list` and `bench info` know of the embedding-level methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.api import MethodSpec
from methods.embedding.params import TextParams, UnrolledParams
from methods.embedding.parts import parts

_SHARED = (
    "The gradient is exact: reverse mode by hand, one step's graph at a time. Steps and checkpoint are chosen by "
    "the loss on validation rows; the public codes choose on the rows that they report. Each set of a cell is a "
    "training of its own. "
)
_FITS = (
    "A set fits one encoder, at the layer whose input it is, and students of `recipe=learned-sgd` take exactly its "
    "steps. "
)
_TDD = (
    "TDD: Sucholutsky and Schonlau 2021 (soft labels, text), as in Maekawa et al. 2023 (attention labels), whose "
    "Table 1 rows in Maekawa et al. 2024 give no settings: comparisons with them are not comparable. One step of "
    "the training: theta_{t+1} = theta_t - eta_t grad [CE(f(E_t), y_t) + lambda KL(A || attention)], then CE of "
    "theta_T on real rows, and its gradient in E, y, eta and A (Wang et al. 2018, Algorithm 1). Published code: "
    "512 positions of N(0, 1), one example a class and one step, unrestricted labels with cls attention labels in "
    "its README's run. "
)
WANG = {  # the published code of Wang et al. 2018
    "labels": "hard",
    "epochs": 3,
    "step_size": 0.02,
    "learning_rate": 0.01,
    "beta1": 0.5,
    "schedule": "halving",
    "warmup": 0.0,
    "clip": None,
    "batch": 1024,
    "nets": 4,
    "outer_steps": 400,
}


def specs() -> Sequence[MethodSpec]:
    """TDD, its text form, its ancestor, and real rows with the same learned labels."""
    shared: dict[str, Any] = {"parts": parts, "tags": ("embedding", "synthetic")}
    learned: dict[str, Any] = {
        "target": "methods.embedding.tdd:Unrolled",
        "params": UnrolledParams,
        "texts": False,
        **shared,
    }
    return [
        MethodSpec(
            name="tdd",
            summary="Vectors, labels and step sizes learned by gradients through the learner's training.",
            notes=_TDD + _SHARED + _FITS,
            **learned,
        ),
        MethodSpec(
            name="tdd-text",
            summary="A set of word embeddings trained as tdd's, each vector replaced by the nearest word.",
            target="methods.embedding.tdd:TddText",
            params=TextParams,
            notes="'TDD (text)' of Maekawa et al. 2024, Table 1: accuracy at chance there (50.2 on SST-2 at dpc "
            "5), which is what to expect. Nearest row of the word embeddings by L2 or cosine, no special "
            "token; the words are decoded to a text that students read as any other, with the class that "
            "the example began with. Learned step sizes are dropped. Of a pair task, each text has half of "
            "the words. " + _SHARED,
            **shared,
        ),
        MethodSpec(
            name="dd",
            summary="Wang et al. 2018: vectors and step sizes learned through steps x epochs, hard labels.",
            preset=WANG,
            notes="Dataset Distillation, Wang et al. 2018, Algorithm 1, with the published code's settings (X "
            "from N(0, 1), Adam 0.01 with beta1 0.5, 10 steps x 3 epochs): groups are its distillation "
            "steps. Their four kinds of start: init=fixed or random, scratch=true or false. " + _SHARED + _FITS,
            **learned,
        ),
        MethodSpec(
            name="random-soft",
            summary="Random rows at the embedding level; labels and step sizes learned as tdd learns them.",
            preset={"start": "rows", "learn_embeddings": False},
            selects=True,
            notes="What tdd has beyond this is what its vectors have learned: soft labels help real rows too "
            "(DD-Ranking, Li et al. 2024). " + _SHARED + _FITS,
            **learned,
        ),
        MethodSpec(
            name="kcenters-soft",
            summary="K-centers rows at the embedding level; labels and step sizes learned as tdd learns them.",
            preset={"start": "kcenters", "learn_embeddings": False},
            selects=True,
            notes="As random-soft (DD-Ranking), from the rows of K-centers (mean pooling, unit length). "
            + _SHARED
            + _FITS,
            **learned,
        ),
    ]
