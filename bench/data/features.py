"""Frozen-encoder features: both poolings of the last hidden layer from one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from bench.data.batching import longest_first
from bench.data.encoders import Encoder, Tokens, shared_encoder, tokenize

POOLINGS = ("cls", "mean")
BATCH_TOKENS = {"cpu": 1024, "cuda": 65536}  # tokens of a batch, padding included; cpu: measured, fits its caches

Progress = Callable[[int, int], None]


def encode(
    folder: Path,
    texts: Mapping[str, Sequence[str]],
    fields: Sequence[str],
    max_length: int = 512,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Features of N texts (or N pairs, when two fields are named): {"cls": [N, d], "mean": [N, d]}, float32.

    The last hidden layer of the encoder in `folder` as it is, in evaluation mode, not L2-normalised. "cls" is
    the vector of the [CLS] token (position 0; XLNet puts it last; position 0 where a tokenizer has none),
    "mean" the mean over all tokens that are not padding, special tokens included. Texts are cut to
    `max_length` tokens, or to what the encoder's position table allows when that is less.

    Batches hold texts of about one length, so there is little padding. A row's value depends on its batch
    mates only through the order of float32 sums: on CPU within 1e-5 relative to the largest entry. On CUDA the
    forward pass runs under bf16 autocast, as in the reference implementation, and rows agree to about 1e-2.
    The same call gives the same bits on the same machine with the same number of threads.
    `progress(done, total)` is called after each batch. Raises UserError when the folder holds no usable encoder.
    """
    encoder = shared_encoder(Path(folder), device)
    limit = min(max_length, encoder.max_length or max_length)
    return encode_tokens(encoder, tokenize(encoder.tokenizer, texts, fields, limit), progress)


def encode_tokens(encoder: Encoder, tokens: Tokens, progress: Progress | None = None) -> dict[str, np.ndarray]:
    """The same features of texts that are tokenised already."""
    import torch

    kind = torch.device(encoder.device).type
    out = {pooling: np.empty((len(tokens), encoder.model.config.hidden_size), np.float32) for pooling in POOLINGS}
    half = torch.autocast(kind, dtype=torch.bfloat16) if kind == "cuda" else nullcontext()
    done = 0
    with torch.inference_mode(), half:
        for rows in longest_first(tokens.lengths(), BATCH_TOKENS.get(kind, BATCH_TOKENS["cpu"])):
            inputs = tokens.batch(rows, encoder.device)
            mask = inputs["attention_mask"]
            where = cls_positions(inputs["input_ids"], encoder.tokenizer.cls_token_id)
            if bool(mask.all()):
                del inputs["attention_mask"]  # without a mask, attention takes its faster path
            hidden = encoder.model(**inputs).last_hidden_state.float()
            weight = (mask / mask.sum(1, keepdim=True)).float()
            out["cls"][rows] = hidden[torch.arange(len(rows), device=hidden.device), where].cpu().numpy()
            out["mean"][rows] = torch.einsum("bld,bl->bd", hidden, weight).cpu().numpy()
            done += len(rows)
            if progress is not None:
                progress(done, len(tokens))
    return out


def cls_positions(input_ids, cls_token_id: int | None):  # type: ignore[no-untyped-def]
    """Where the [CLS] token of each row is, int64 [B]; 0 where there is none. input_ids: int64 [B, L]."""
    import torch

    if cls_token_id is None:
        return torch.zeros(len(input_ids), dtype=torch.int64, device=input_ids.device)
    return (input_ids == cls_token_id).int().argmax(1)
