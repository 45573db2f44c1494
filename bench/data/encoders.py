"""Hugging Face encoders from local folders: safetensors only, no remote code, float32, evaluation mode."""

from __future__ import annotations

import logging
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data import onednn
from bench.errors import UserError

if TYPE_CHECKING:
    import torch

TOKENIZE_ROWS = 8192  # texts tokenised at once: Python lists of ids take ten times the memory of an array
MEMO_SIZE = 2  # encoders kept loaded in a process; BERT-large alone is 1.3 GB
VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model")  # without any, transformers makes an empty tokenizer

_memo: OrderedDict[tuple[str, str], tuple[Encoder, list[Any]]] = OrderedDict()


@dataclass(frozen=True)
class Encoder:
    """A loaded encoder. `max_length`: the most tokens its position table allows, or None without one."""

    folder: Path
    model: Any  # transformers.PreTrainedModel without a task head
    tokenizer: Any  # transformers.PreTrainedTokenizerBase
    device: str
    max_length: int | None


@dataclass(frozen=True)
class Ragged:
    """N integer lists of different lengths in one int32 array; list i is `flat[offsets[i] : offsets[i + 1]]`."""

    flat: np.ndarray
    offsets: np.ndarray  # int64 [N + 1]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int | np.integer) -> np.ndarray:
        if not 0 <= row < len(self):
            raise IndexError(row)
        return self.flat[self.offsets[row] : self.offsets[row + 1]]


@dataclass(frozen=True)
class Tokens:
    """N tokenised texts of different lengths, not padded.

    `columns`: model input name -> N lists of ids ("input_ids", and "token_type_ids" where the model has them).
    `padding`: model input name -> the value for padding.
    """

    columns: Mapping[str, Ragged]
    padding: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.columns["input_ids"])

    def lengths(self) -> np.ndarray:
        """Number of tokens of every text, int64 [N]."""
        return np.diff(self.columns["input_ids"].offsets)

    def batch(self, rows: Sequence[int] | np.ndarray, device: str = "cpu") -> dict[str, torch.Tensor]:
        """The model inputs of some rows, right-padded to the longest of them, int64 [B, L], with "attention_mask"."""
        import torch

        rows = np.asarray(rows, dtype=np.int64)
        offsets = self.columns["input_ids"].offsets
        lengths = offsets[rows + 1] - offsets[rows]
        longest = int(lengths.max(initial=0))
        inputs = {name: np.full((len(rows), longest), self.padding[name]) for name in self.columns}
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            for name, column in self.columns.items():
                inputs[name][place, :length] = column[row]
        inputs["attention_mask"] = (np.arange(longest) < lengths[:, None]).astype(np.int64)
        return {name: torch.from_numpy(values).to(device) for name, values in inputs.items()}


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' progress bars, load reports and warnings inside; restore its settings after."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars
    from transformers.utils import logging as hf_logging

    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hub_bars_off = are_progress_bars_disabled()
    hf_logging.set_verbosity(logging.CRITICAL)
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the hub warns when its environment variable keeps bars off
            if bars:
                hf_logging.enable_progress_bar()
            if hub_bars_off:
                disable_progress_bars()


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a local folder. Raises UserError when there is none or it is damaged."""
    from transformers import AutoTokenizer

    if not any(next(folder.glob(pattern), None) for pattern in VOCABULARIES):
        raise UserError(f"no usable tokenizer in {folder}: it has none of {', '.join(VOCABULARIES)}")
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # damaged files raise anything, down to the bare Exception of `tokenizers`
        raise UserError(f"no usable tokenizer in {folder}: {_first_line(error)}") from error


def load_model(folder: Path, device: str = "cpu", **options: Any) -> Any:
    """A new AutoModel in float32 and evaluation mode; `options` go to `from_pretrained`.

    Raises UserError when the folder lacks config.json or safetensors weights, or they are damaged. Pickled
    weights (pytorch_model.bin) and code from the folder are never loaded.
    """
    import torch
    from transformers import AutoModel

    if not (folder / "config.json").is_file():
        raise UserError(f"no encoder in {folder}: config.json is missing")
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"no safetensors weights in {folder} (pickled weights are not read)")
    try:
        with quiet():
            model = AutoModel.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                **options,
            )
    except Exception as error:  # damaged files raise OSError, ValueError, SafetensorError, KeyError, ...
        raise UserError(f"no usable encoder in {folder}: {_first_line(error)}") from error
    return model.to(device).eval()


def load_encoder(folder: Path, device: str = "cpu") -> Encoder:
    """A new, unshared encoder with its tokenizer from a local folder, for inference only."""
    model = onednn.speed_up(load_model(folder, device))
    return Encoder(folder, model, load_tokenizer(folder), device, max_positions(model))


def shared_encoder(folder: Path, device: str = "cpu") -> Encoder:
    """The encoder of this process for `folder`, loaded once; one that somebody trained or changed is loaded again."""
    key = (str(folder.resolve()), device)
    if key in _memo and _state(_memo[key][0].model) != _memo[key][1]:
        del _memo[key]
    if key not in _memo:
        while len(_memo) >= MEMO_SIZE:
            _memo.popitem(last=False)
        encoder = load_encoder(folder, device)
        _memo[key] = encoder, _state(encoder.model)
    _memo.move_to_end(key)
    return _memo[key][0]


def _state(model: Any) -> list[Any]:
    """What changes when a model is trained or switched: modes, and the counters of writes into its tensors."""
    tensors = [(id(one), one._version) for one in (*model.parameters(), *model.buffers())]
    return [*tensors, *(module.training for module in model.modules())]


def max_positions(model: Any) -> int | None:
    """The most tokens that a model can read, or None when positions are relative (XLNet).

    RoBERTa numbers positions from padding_idx + 1, so its table of 514 rows serves 512 tokens.
    """
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    if table is not None and hasattr(table, "num_embeddings"):
        return int(table.num_embeddings) - (0 if table.padding_idx is None else table.padding_idx + 1)
    limit = getattr(model.config, "max_position_embeddings", None)
    return int(limit) if limit and limit > 0 else None


def tokenize(
    tokenizer: Any, texts: Mapping[str, Sequence[str]], fields: Sequence[str], max_length: int | None
) -> Tokens:
    """Tokenise N texts, or N pairs of texts as pairs, each with its special tokens in at most `max_length` tokens.

    A pair that is too long loses tokens from the end of the longer text. `max_length` None: no limit.
    """
    if not 1 <= len(fields) <= 2:
        raise UserError(f"an encoder reads one or two text fields, not {len(fields)}: {', '.join(fields)}")
    options = {"truncation": "longest_first", "max_length": max_length} if max_length else {"truncation": False}
    parts: dict[str, list[np.ndarray]] = {}
    lengths: list[int] = []
    n_texts = len(texts[fields[0]])
    with quiet():  # texts longer than model_max_length are cut on purpose, so its warning says nothing
        for start in range(0, n_texts, TOKENIZE_ROWS):
            chunk = [list(texts[name][start : start + TOKENIZE_ROWS]) for name in fields]
            encoded = tokenizer(*chunk, padding=False, return_attention_mask=False, **options)
            lengths.extend(map(len, encoded["input_ids"]))
            for name in ("input_ids", "token_type_ids"):
                if name in encoded:
                    flat = np.fromiter(chain.from_iterable(encoded[name]), dtype=np.int32)
                    parts.setdefault(name, []).append(flat)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    padding = {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": tokenizer.pad_token_type_id}
    joined = {name: np.concatenate(flat) for name, flat in parts.items()} or {"input_ids": np.empty(0, np.int32)}
    columns = {name: Ragged(flat, offsets) for name, flat in joined.items()}
    return Tokens(columns, {name: padding[name] for name in columns})


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
