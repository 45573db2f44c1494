"""Registers the built-in students and the encoders that they load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.api import Asset, StudentSpec, hookimpl
from students.assets import MINILM_DATA, MPNET_DATA, assets
from students.params import EncoderParams, InContextParams, ProbeParams

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

_IN_CONTEXT = (
    "League D: the set is the demonstrations, nothing is trained. A row is `FIELD: TEXT` a line and `label: WORD`, "
    "with a blank line between rows: the form of the few-shot evaluation in DiLM's public code. That code shuffles a "
    "set unseeded, cuts prompts at 1,024 tokens and reads 4-bit weights; here the order follows the run's seed, no "
    "text is cut (a prompt that does not fit makes the cell not applicable) and weights are those of the file. Runs on "
    "one set differ by its order alone. Soft labels are not read. `zero-shot` and `shuffled-labels` tell what the "
    "demonstrations and their labels add. calibration=contextual: Zhao et al. 2021, 'Calibrate before use'; batch: "
    "Zhou et al. 2024, 'Batch calibration', with its prior from train rows, never from the queries."
)


def _fine_tuned(name: str, summary: str, notes: str = "", seconds: float | None = None, **preset: Any) -> StudentSpec:
    return StudentSpec(
        name=name,
        summary=summary,
        target="students.encoder:EncoderStudent",
        params=EncoderParams,
        preset=preset,
        tags=("fine-tuned",),
        rough_seconds=seconds,
        notes=f"{_RECIPE} {notes}".strip(),
    )


def _in_context(name: str, summary: str, notes: str = "", seconds: float | None = None, **preset: Any) -> StudentSpec:
    return StudentSpec(
        name=name,
        summary=summary,
        target="students.in_context:InContextStudent",
        params=InContextParams,
        preset=preset,
        train_texts=lambda params: params.calibration == "batch",
        needs_texts=True,
        tags=("in-context",),
        rough_seconds=seconds,
        notes=f"{_IN_CONTEXT} {notes}".strip(),
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
            f"The frozen layers run without dropout, once per text. {MINILM_DATA}",
            seconds=8,
            model="minilm",
            trainable_layers=2,
        ),
        _fine_tuned(
            "mpnet-base",
            "all-mpnet-base-v2, 109 M parameters, all layers trained: a base-size student that runs without a hub.",
            f"Meant as the black box: no method of the pocket suite selects or matches with it. {MPNET_DATA}",
            seconds=240,
            model="mpnet-base",
        ),
        _fine_tuned("distilbert", "DistilBERT-base (uncased).", model="distilbert"),
        _fine_tuned("deberta-v3", "DeBERTa-v3-base.", model="deberta-v3"),
        _fine_tuned(
            "modernbert",
            "ModernBERT-base.",
            "Its configuration has no dropout: dropout=0.1 gives it the rate of the others. Its prediction head, a "
            "layer with a norm that reads the mean of all tokens, is drawn with the classifier.",
            model="modernbert",
        ),
        _fine_tuned("tinybert-4", "General TinyBERT, 4 layers of width 312.", model="tinybert-4"),
        _fine_tuned("tinybert-6", "General TinyBERT, 6 layers of width 768.", model="tinybert-6"),
        StudentSpec(
            name="probe",
            summary="Logistic regression on frozen features.",
            target="students.probe:ProbeStudent",
            params=ProbeParams,
            tags=("frozen",),
            needs_texts=True,
            rough_seconds=1,
            notes="scikit-learn's lbfgs, which draws nothing at random: all runs on one set are equal. Features are "
            "scaled to unit length and not standardised; C was chosen on validation rows of the pocket tasks. Soft "
            "labels become weighted rows (league B). "
            f"{MINILM_DATA}",
        ),
        _in_context("icl", "Any causal language model, asked for the label after the set's rows as demonstrations."),
        _in_context(
            "icl-smollm2", "SmolLM2-135M-Instruct in context.", "No chat template.", seconds=45, model="smollm2"
        ),
        _in_context("icl-gemma3-270m", "Gemma 3 270M, the base model, in context.", seconds=60, model="gemma3-270m"),
        _in_context(
            "icl-gpt2-xl",
            "GPT-2 XL in context, a student of the paper's Table 3; reads 1,024 tokens.",
            model="gpt2-xl",
        ),
        _in_context("icl-opt-2.7b", "OPT 2.7B in context, a student of the paper's Table 3.", model="opt-2.7b"),
        _in_context(
            "icl-llama-2-7b",
            "Llama 2 7B in context, a student of the paper's Table 3.",
            "bfloat16: 14 GB of weights.",
            model="llama-2-7b",
            dtype="bfloat16",
        ),
    ]


@hookimpl
def bench_assets() -> Sequence[Asset]:
    """The pretrained models."""
    return assets()
