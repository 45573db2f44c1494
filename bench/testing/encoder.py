"""A tiny encoder for tests: random weights, a real tokenizer, loaded from disk as any other."""

from __future__ import annotations

import string
from pathlib import Path

WORDS = (  # the vocabulary beside single letters
    "the a of in and to is was it this that film movie plot actor great dull good bad funny slow bright dark warm cold "
    "team won lost match goal player coach market shares bank profit prices fell rose growth sales minister party "
    "election vote law phone software game online digital music band song award star not very too more than"
)


def build_tiny_encoder(folder: Path, seed: int = 0) -> Path:
    """Write a random BERT (4 layers, hidden size 32, 128 positions) with a WordPiece tokenizer to `folder`.

    Give its path where a parameter names an encoder, so that a test needs no download.
    """
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = list(string.ascii_lowercase + string.digits + ".,!?'-")
    vocabulary = [*special, *letters, *(f"##{letter}" for letter in letters), *(w for w in WORDS.split() if len(w) > 1)]
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=128,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.2,  # 0.02 at this width would make all sentences look alike
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(config)
    model.save_pretrained(folder)
    return folder
