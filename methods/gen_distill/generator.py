"""The generator p_phi: a causal language model with one start token a class (Maekawa et al. 2024, section 2.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from bench.api import Context, TrainData, UserError
from bench.data.batching import shortest_first
from bench.data.encoders import quiet
from bench.learners.causal import packed
from bench.learners.causal.loading import load_base, load_model
from bench.learners.causal.scratch import random_gpt2, train_tokenizer
from bench.learners.causal.top import Frozen
from bench.learners.linear import speed_up
from bench.learners.pretrained import own_rng, precision
from bench.learners.seeds import derive
from methods.gen_distill.control import OutputControl
from methods.gen_distill.params import SCRATCH, GenDistillParams
from methods.gen_distill.template import Template

ROUNDED = 8  # padded lengths are multiples of this
LOWER_TOKENS = 4096  # padded tokens of a batch in the frozen part
CALIBRATION_TEXTS = 64
_FACTS, _TRAINED = "generator.json", "trained.safetensors"
_FROZEN, _CONTROL = "added.safetensors", "control.safetensors"


class Generator:
    """A causal language model, its template, and what of it is trained.

    trainable_layers: train the top layers, the final norm and what `Frozen` adds; None trains everything.
    class_vectors: add a trained vector of the class to the last hidden states, see `OutputControl`.
    """

    def __init__(
        self, model: Any, template: Template, trainable_layers: int | None, device: str, class_vectors: bool = False
    ) -> None:
        self.template, self.device, self.trainable_layers = template, device, trainable_layers
        self.context = int(model.config.max_position_embeddings)  # most positions
        self.frozen = Frozen(model, template, trainable_layers).to(device) if trainable_layers is not None else None
        self.model = model.to(device)
        head = model.get_output_embeddings().weight
        self.control = OutputControl(head, template.n_classes) if class_vectors else None
        if torch.device(device).type == "cpu":
            speed_up(self.model)
        self.packed = self.frozen is None and packed.can_pack(self.model)
        self.eval_mode()

    def trained(self) -> list[tuple[str, nn.Parameter]]:
        """What stages 1 and 2 train, by name, in a stable order."""
        found = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        return found + [
            pair for part in (self.frozen, self.control) if part is not None for pair in part.named_parameters()
        ]

    def train_mode(self) -> None:
        """Dropout on, except in what is frozen."""
        if self.frozen is None:
            self.model.train()
        else:
            self.frozen.train_mode(self.model)

    def eval_mode(self) -> None:
        """Dropout off."""
        self.model.eval()

    def losses(
        self,
        sequences: Sequence[np.ndarray],
        probability: str,
        padded_to: int | None = None,
        states: Sequence[np.ndarray] | None = None,
    ) -> Tensor:
        """l_i = -log p_phi(x_i | y_i) per token (eq. 1-2), float32 [B], differentiable.

        The start token is given, not predicted; the end token counts. probability "length": the mean over the
        sequence's own tokens; "padded": the sum over the padded length - 1. That length is `padded_to`, or the
        longest of this call rounded up to a multiple of 8. states: of these sequences, from `lower_states`.
        """
        lengths = np.array([len(sequence) for sequence in sequences])
        if lengths.max() > self.context:
            raise ValueError(f"a sequence has {lengths.max()} tokens, more than the generator's {self.context}")
        ids, real = self._padded([sequence[:-1] for sequence in sequences])
        given = None if states is None else self._padded_states(states, real)
        classes = self._classes(sequences)
        rows = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths - 1)).to(self.device)
        targets = torch.from_numpy(np.concatenate([sequence[1:] for sequence in sequences]).astype(np.int64))
        if self.packed:
            hidden = packed.hidden(self.model, ids, real)
            if self.control is not None:
                hidden = self.control(hidden, classes[rows])
            nll = packed.nll(hidden, self.model.get_output_embeddings().weight, targets)
        else:
            with precision(self.device):
                hidden = self._hidden(ids, classes, given)
                # The head on real positions only: it is the dearest layer.
                logits = self._logits(hidden[real], classes[rows])
            nll = functional.cross_entropy(logits.float(), targets.to(self.device), reduction="none")
        sums = nll.new_zeros(len(lengths)).index_add(0, rows, nll)
        if probability == "length":
            return sums / torch.from_numpy(lengths - 1).to(sums)
        return sums / ((padded_to or rounded_up(int(lengths.max()))) - 1)

    def step(self, ids: Tensor, cache: Any, starts: Tensor) -> tuple[Tensor, Any]:
        """The next tokens ids [B, L] of B rows of the classes `starts` [B]: logits float32 [B, V] of the last, cache.

        cache: None at first, then what the last call gave.
        """
        with precision(self.device):
            if self.frozen is None:
                found = self.model.base_model(input_ids=ids, past_key_values=cache, use_cache=True)
            else:
                with self.frozen.steered(ids, starts):
                    found = self.model.base_model(input_ids=ids, past_key_values=cache, use_cache=True)
            logits = self._logits(found.last_hidden_state[:, -1], starts)
        return logits.float(), found.past_key_values

    def keep(self, cache: Any, rows: Tensor) -> Any:
        """The cache with only these rows, int64 [n]; the one that is given is changed."""
        cache.batch_select_indices(rows)
        return cache

    def lower_states(self, sequences: Sequence[np.ndarray], progress: Any = None) -> list[np.ndarray]:
        """What the frozen part gives for each sequence but its last token: float32 [len - 1, d] each.

        Only for a generator with `trainable_layers`. progress: (done, total) -> None.
        """
        assert self.frozen is not None
        found: list[np.ndarray] = [np.empty(0)] * len(sequences)
        done = 0
        for rows in pieces(sequences, LOWER_TOKENS):
            ids, _ = self._padded([sequences[row][:-1] for row in rows])
            with precision(self.device):
                states = self.frozen.lower(self.model, ids).float().cpu().numpy()
            for place, row in enumerate(rows):
                found[row] = states[place, : len(sequences[row]) - 1].copy()
            done += len(rows)
            if progress is not None:
                progress(done, len(sequences))
        return found

    def _hidden(self, ids: Tensor, classes: Tensor, states: Tensor | None) -> Tensor:
        """Last hidden states [B, L, d]. Padding is on the right, where a causal model never looks: it needs no mask."""
        if self.frozen is None:
            found: Tensor = self.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
            return found
        with self.frozen.steered(ids, classes, states):
            found = self.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        return found

    def _logits(self, hidden: Tensor, classes: Tensor) -> Tensor:
        if self.control is not None:
            hidden = self.control(hidden, classes)
        if self.frozen is not None:
            return self.frozen.logits(self.model, hidden)
        found: Tensor = self.model.get_output_embeddings()(hidden)
        return found

    def _classes(self, sequences: Sequence[np.ndarray]) -> Tensor:
        starts = np.array([sequence[0] for sequence in sequences], dtype=np.int64)
        return torch.from_numpy(starts - self.template.bos[0]).to(self.device)

    def _padded(self, sequences: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """ids int64 [B, L] with zeros at padding, and which positions are real, bool [B, L]."""
        lengths = np.array([len(sequence) for sequence in sequences])
        real = np.arange(lengths.max()) < lengths[:, None]
        ids = np.zeros(real.shape, dtype=np.int64)
        ids[real] = np.concatenate(sequences)
        return torch.from_numpy(ids).to(self.device), torch.from_numpy(real).to(self.device)

    def _padded_states(self, states: Sequence[np.ndarray], real: Tensor) -> Tensor:
        packed = torch.from_numpy(np.concatenate(states)).to(self.device)
        padded = packed.new_zeros((*real.shape, packed.shape[1]))
        padded[real] = packed
        return padded

    def state(self) -> dict[str, Tensor]:
        """Copies of what is trained."""
        return {name: p.detach().clone() for name, p in self.trained()}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Give back what `state` gave."""
        for name, parameter in self.trained():
            parameter.copy_(state[name])

    def save_trained(self, folder: Path) -> None:
        """Write what is trained, `trained.safetensors`."""
        save_file({name: tensor.cpu().contiguous() for name, tensor in self.state().items()}, folder / _TRAINED)

    def load_trained(self, folder: Path) -> None:
        """Read what `save_trained` wrote."""
        self.load_state(load_file(folder / _TRAINED))

    def save(self, folder: Path) -> None:
        """Write the whole generator, so that `load_generator` needs nothing beside this folder."""
        with quiet():
            self.model.save_pretrained(folder / "model")
        self.template.save(folder / "template")
        for part, name in ((self.frozen, _FROZEN), (self.control, _CONTROL)):
            if part is not None:
                save_file({key: p.cpu().contiguous() for key, p in part.state_dict().items()}, folder / name)
        facts = {"trainable_layers": self.trainable_layers, "class_vectors": self.control is not None}
        (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")


def load_generator(folder: Path, device: str) -> Generator:
    """The generator that `Generator.save` wrote."""
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    model = load_model(folder / "model", str(folder))
    template = Template.load(folder / "template")
    generator = Generator(model, template, facts["trainable_layers"], device, facts["class_vectors"])
    for part, name in ((generator.frozen, _FROZEN), (generator.control, _CONTROL)):
        if part is not None:
            part.load_state_dict(load_file(folder / name, device=device))
    return generator


def make_generator(params: GenDistillParams, data: TrainData, ctx: Context) -> Generator:
    """A new generator with the start tokens of the task's classes, before stage 1.

    Raises UserError when the asset is no causal language model with an end token, or reads too few tokens.
    """
    info = data.info
    facts = (info.n_classes, len(info.fields), params.blanks)
    if params.generator == SCRATCH:
        tokenizer = train_tokenizer(
            chain.from_iterable(data.train.texts[name] for name in info.fields), params.scratch_vocabulary
        )
        template = Template(tokenizer, len(tokenizer), *facts)
        sequences = template.encode(data.train.texts, info.fields, data.train.labels)
        longest = max(map(len, sequences))
        model = random_gpt2(
            template.size,
            template.eos,
            params.scratch_layers,
            params.scratch_width,
            rounded_up(min(longest, params.max_tokens or longest)),
            derive(params.generator_seed, "scratch weights"),
        )
    else:
        model, tokenizer = load_base(params.generator, ctx)
        template = Template(tokenizer, model.get_input_embeddings().weight.shape[0], *facts)
        add_rows(model, template, params)
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        table[list(template.bos)] = table[template.eos].clone()
    generator = Generator(model, template, params.trainable_layers, ctx.device, params.class_vectors)
    if generator.context < template.shortest:
        raise UserError(
            f"generator '{params.generator}' reads {generator.context} tokens, "
            f"but a text takes {template.shortest} or more: choose another generator"
        )
    if generator.frozen is not None:
        some = {name: data.train.texts[name][:CALIBRATION_TEXTS] for name in info.fields}
        sequences = template.encode(some, info.fields, data.train.labels[:CALIBRATION_TEXTS])
        sequences, _ = template.shortened(sequences, min(generator.context, params.max_tokens or generator.context))
        generator.frozen.calibrate(generator.lower_states(sequences))
    return generator


def add_rows(model: Any, template: Template, params: GenDistillParams) -> None:
    """Embedding and head rows for the new tokens.

    They are drawn from N(0, std) as transformers does; where the embeddings stay frozen, `<sep>` is a copy of the end
    token, since a row that means nothing to the lower layers could never be mended.
    """
    with own_rng(derive(params.generator_seed, "new tokens"), "cpu"):
        model.resize_token_embeddings(template.size, mean_resizing=False)
    if params.trainable_layers is not None and template.sep is not None:
        with torch.no_grad():
            table = model.get_input_embeddings().weight
            table[template.sep] = table[template.eos].clone()


def rounded_up(length: int) -> int:
    """The padded length of a batch whose longest sequence has `length` tokens."""
    return -(-length // ROUNDED) * ROUNDED


def pieces(sequences: Sequence[np.ndarray], tokens: int) -> list[np.ndarray]:
    """Row indices of batches of like length with at most `tokens` padded tokens (or one row), the shortest first."""
    return shortest_first(np.array([len(sequence) for sequence in sequences]), tokens)
