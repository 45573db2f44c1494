"""Tiny random encoders of every architecture that the students load, each with a tokenizer of its published shape."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.learner_models import FILLERS, TOPICS

WORDS = [*dict.fromkeys(word for topic in TOPICS for word in topic), *FILLERS]
POSITIONS = 40  # tokens that those with a limit read

BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
XLNET = ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>")


@dataclass(frozen=True)
class Architecture:
    """How one is built. `special`: its special tokens, in the order of their ids; `template`: of a text and a pair."""

    config: str  # classes of transformers
    model: str
    special: tuple[str, ...]
    template: tuple[str, str]
    sizes: dict[str, Any]
    segments: bool = False
    left: bool = False  # the side of its padding
    positions: int | None = POSITIONS


_BERT = ("[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1")
_ROBERTA = ("<s>:0 $A:0 </s>:0", "<s>:0 $A:0 </s>:0 </s>:0 $B:0 </s>:0")
_XLNET = ("$A:0 <sep>:0 <cls>:2", "$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2")
_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.2,
}
_OFFSET = {**_SIZES, "max_position_embeddings": POSITIONS + 2, "pad_token_id": 1}

ARCHITECTURES = {
    "bert": Architecture("BertConfig", "BertModel", BERT, _BERT, _SIZES, segments=True),
    "tinybert": Architecture(
        "BertConfig",
        "BertModel",
        BERT,
        _BERT,
        {**_SIZES, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 60},
        segments=True,
    ),
    "roberta": Architecture("RobertaConfig", "RobertaModel", ROBERTA, _ROBERTA, {**_OFFSET, "type_vocab_size": 1}),
    "xlnet": Architecture(
        "XLNetConfig",
        "XLNetModel",
        XLNET,
        _XLNET,
        {"d_model": 32, "n_layer": 3, "n_head": 4, "d_inner": 48, "initializer_range": 0.2, "pad_token_id": 5},
        segments=True,
        left=True,
        positions=None,
    ),
    "distilbert": Architecture(
        "DistilBertConfig",
        "DistilBertModel",
        BERT,
        _BERT,
        {
            "dim": 32,
            "n_layers": 3,
            "n_heads": 4,
            "hidden_dim": 48,
            "max_position_embeddings": POSITIONS,
            "initializer_range": 0.2,
        },
    ),
    "deberta-v2": Architecture(  # as DeBERTa-v3 is configured
        "DebertaV2Config",
        "DebertaV2Model",
        BERT,
        _BERT,
        {
            **_SIZES,
            "type_vocab_size": 0,
            "relative_attention": True,
            "position_buckets": 8,
            "max_relative_positions": -1,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
        },
    ),
    "modernbert": Architecture(
        "ModernBertConfig",
        "ModernBertModel",
        BERT,
        _BERT,
        {
            **_SIZES,
            "local_attention": 6,  # narrower than the texts
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
            "classifier_pooling": "mean",
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "cls_token_id": 2,
            "sep_token_id": 3,
        },
    ),
    "mpnet": Architecture("MPNetConfig", "MPNetModel", ROBERTA, _ROBERTA, _OFFSET),
    "electra": Architecture(
        "ElectraConfig", "ElectraModel", BERT, _BERT, {**_SIZES, "embedding_size": 16}, segments=True
    ),
}

DECODERS = {
    "gpt2": Architecture(
        "GPT2Config",
        "GPT2Model",
        ("<pad>", "<unk>"),
        ("$A:0", "$A:0 $B:0"),
        {
            "n_embd": 32,
            "n_layer": 3,
            "n_head": 4,
            "n_inner": 48,
            "n_positions": POSITIONS,
            "initializer_range": 0.2,
            "bos_token_id": 0,
            "eos_token_id": 0,
        },
    ),
    "llama": Architecture(
        "LlamaConfig", "LlamaModel", ("<pad>", "<unk>"), ("$A:0", "$A:0 $B:0"), {**_SIZES, "num_key_value_heads": 2}
    ),
}


def build(name: str, folder: Path) -> Path:
    """Write the random base model of an architecture with its tokenizer to `folder`."""
    import torch
    import transformers

    one = {**ARCHITECTURES, **DECODERS}[name]
    settings = getattr(transformers, one.config)(vocab_size=len(one.special) + len(WORDS), **one.sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        getattr(transformers, one.model)(settings).save_pretrained(folder)
    build_tokenizer(one, folder)
    return folder


def build_tokenizer(one: Architecture, folder: Path, **changes: Any) -> None:
    """Write the tokenizer alone: a word is a token. `changes`: of what `PreTrainedTokenizerFast` is given."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {token: index for index, token in enumerate([*one.special, *WORDS])}
    names = {kind: _special(one, kind) for kind in ("pad", "unk", "cls", "sep", "mask") if _special(one, kind)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=names["unk"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    single, pair = one.template
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[(token, ids[token]) for token in one.special]
    )
    settings: dict[str, Any] = {f"{kind}_token": token for kind, token in names.items()} | {
        "padding_side": "left" if one.left else "right",
        "model_input_names": ["input_ids", *(["token_type_ids"] if one.segments else []), "attention_mask"],
    }
    if one.left:
        settings["pad_token_type_id"] = 3  # XLNet's own
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings | changes).save_pretrained(folder)


def _special(one: Architecture, kind: str) -> str | None:
    """BERT writes [CLS], XLNet <cls>, RoBERTa <s>; decoders have none."""
    aliases = {"cls": ("<s>",), "sep": ("</s>",)}.get(kind, ())
    written = (f"[{kind.upper()}]", f"<{kind}>", *aliases)
    return next((token for token in written if token in one.special), None)
