"""Loading encoder classifiers, and the weights from which their trainings start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from bench.api import UserError
from bench.data.encoders import Tokens, load_tokenizer, max_positions, quiet, tokenize
from bench.learners.embedded import Embedded


@contextmanager
def own_rng(seed: int, device: str) -> Iterator[None]:
    """Seed torch's default generators for the block, and put them back as they were after it."""
    on_cuda = device.startswith("cuda")
    with torch.random.fork_rng(devices=[torch.device(device)] if on_cuda else []):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach generators that are not put back
        if on_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def precision(device: str) -> Any:
    """bfloat16 autocast on CUDA, as in the paper; float32 on a CPU."""
    return torch.autocast("cuda", torch.bfloat16) if device.startswith("cuda") else nullcontext()


def load_classifier(folder: Path, n_classes: int, dropout: float | None) -> tuple[Any, frozenset[str]]:
    """A float32 sequence classifier and the names of the parameters that belong to its head.

    The head is all that lies outside the base model, and what the folder has no weights for: it has to be
    drawn anew in each run, also where the folder holds a head that somebody trained. `dropout` replaces every rate
    of dropout. Raises UserError when the folder holds no encoder in safetensors format.
    """
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"no weights in safetensors format in {folder} (pickled weights are not read): convert them")
    try:
        with own_rng(0, "cpu"), quiet():
            config = transformers.AutoConfig.from_pretrained(folder, num_labels=n_classes, local_files_only=True)
            if dropout is not None:
                set_dropout(config, dropout)
            model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except Exception as error:  # damaged files raise OSError, ValueError, SafetensorError, KeyError, ...
        raise UserError(f"no usable sequence classifier in {folder}: {first_line(error)}") from error
    base = model.base_model_prefix + "."
    unknown = {*info["missing_keys"], *(key[0] for key in info["mismatched_keys"])}
    names = [name for name, _ in model.named_parameters()]
    return model, frozenset(name for name in names if name in unknown or not name.startswith(base))


def set_dropout(config: Any, rate: float) -> None:
    """Write `rate` to every rate of dropout that a configuration names, before a model is built from it.

    A built model shows not all of them: some are plain numbers, and a rate of 0 may have left no module at all.
    """
    for name, value in vars(config).items():
        if ("dropout" in name or name.endswith("pdrop")) and type(value) in (int, float):  # ESM's is a switch
            setattr(config, name, rate)


def check_depth(trainable_layers: int, layers: int) -> None:
    """Raise UserError when a model has fewer layers than are to be trained."""
    if trainable_layers > layers:
        raise UserError(f"trainable_layers={trainable_layers}: the model has {layers} layers")


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its type when it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def word_table(model: Any) -> torch.Tensor | None:
    """The word embeddings of a transformers model, [V, d]; None where it is not known which they are."""
    try:
        found: torch.Tensor = model.get_input_embeddings().weight
    except (NotImplementedError, AttributeError):
        return None
    return found


class Initial:
    """Where every run starts: the published values of what is trained, and a head that is drawn.

    head: names of the parameters to draw: matrices from N(0, std), biases 0, LayerNorms 1.
    """

    def __init__(self, model: nn.Module, head: frozenset[str]) -> None:
        self.trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
        self.head, self.std = head, initializer_range(model.config)
        norms = {id(p) for module in model.modules() if isinstance(module, nn.LayerNorm) for p in [module.weight]}
        self._ones = {name for name, p in model.named_parameters() if id(p) in norms}

    def __call__(self, generator: torch.Generator, scratch: bool = False) -> dict[str, torch.Tensor]:
        """New leaf tensors, in the model's order; `generator` is one of the CPU.

        scratch: all that is trained is drawn as the head is. Raises UserError for a model where that is not known.
        """
        found = {}
        for name, published in self.trained.items():
            if name not in self.head and not scratch:
                value = published.clone()
            elif published.ndim > 1:
                drawn = torch.empty(published.shape).normal_(0.0, self.std, generator=generator)
                value = drawn.to(published.device)
            elif name in self.head or name in self._ones or name.endswith("bias"):
                value = torch.full_like(published, 1.0 if name in self._ones else 0.0)
            else:  # the scale of another norm, at 0 or 1
                raise UserError(f"a start from scratch is not known for this model: its '{name}' is no matrix or bias")
            found[name] = value.requires_grad_()
        return found


def initializer_range(config: Any) -> float:
    """Standard deviation of new weights; 0.02 where a configuration names none."""
    return float(getattr(config, "initializer_range", None) or 0.02)


class Texts:
    """Turns texts or pairs into token ids and pads batches of them on the side that the model needs.

    left: for a model that reads the last place of each row; all others count positions from the left, whatever side
    the tokenizer names. causal: for one that looks back only, so that no token can read the padding after it. Raises
    UserError for a tokenizer without a padding token where the model may ask what is padding.
    """

    def __init__(self, folder: Path, base: Any, max_length: int, *, left: bool = False, causal: bool = False) -> None:
        self.folder, self.left = folder, left
        self.tokenizer = load_tokenizer(folder)
        if self.tokenizer.pad_token_id is None and not causal:  # RoBERTa's positions are counted by the padding's id
            raise UserError(
                f"the tokenizer in {folder} has no padding token: "
                "name the one that the model was trained with (pad_token in tokenizer_config.json)"
            )
        table = word_table(base)
        self.rows = None if table is None else len(table)
        self.limit = min(max_length, self.tokenizer.model_max_length, max_positions(base) or max_length)

    def encode(self, texts: Mapping[str, Sequence[str]], fields: Sequence[str]) -> Tokens:
        """N texts, or N pairs when there are two fields, truncated to the shortest of all limits.

        Raises UserError for a token that the model has no embedding for.
        """
        tokens = tokenize(self.tokenizer, texts, fields, self.limit)
        highest = max(tokens.padding["input_ids"], int(tokens.columns["input_ids"].flat.max(initial=0)))
        if self.rows is not None and highest >= self.rows:
            raise UserError(
                f"the tokenizer in {self.folder} gives token {highest}, and the model has {self.rows} embeddings: "
                "take the model's own tokenizer, or resize the embeddings (model.resize_token_embeddings)"
            )
        return tokens

    def pad(self, inputs: Tokens | Embedded, rows: Sequence[int] | np.ndarray, device: str) -> dict[str, torch.Tensor]:
        """One batch of model inputs, padded to its longest row, [B, L] or [B, L, d] each, with an attention mask."""
        batch = inputs.batch(rows, device)
        if self.left:
            mask = batch["attention_mask"]
            gaps = (mask == 0).sum(1, keepdim=True)
            places = (torch.arange(mask.shape[1], device=device) - gaps) % mask.shape[1]
            batch = {name: tensor[torch.arange(len(mask))[:, None], places] for name, tensor in batch.items()}
        return batch
