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

from bench.api import Context, TrainData, UserError
from bench.data.encoders import quiet
from bench.learners.causal.loading import load_base, load_model
from bench.learners.causal.model import Adjust, Boundary, CausalModel
from bench.learners.causal.scratch import random_gpt2, train_tokenizer
from bench.learners.pretrained import own_rng
from bench.learners.seeds import derive
from methods.gen_distill.control import BoundaryControl, OutputControl
from methods.gen_distill.params import SCRATCH, GenDistillParams
from methods.gen_distill.template import Marks, Template

ROUNDED = 8  # padded lengths are multiples of this
CALIBRATION_TEXTS = 64
_FACTS = "generator.json"
_TOP, _BOUNDARY, _CONTROL = "top.safetensors", "boundary.safetensors", "control.safetensors"


class Generator(CausalModel):
    """A causal language model that is told the class of its text, and the template of its sequences.

    trainable_layers: train the top layers, the final norm and what is new; None trains everything.
    class_vectors: add a trained vector of the class to the last hidden states, see `OutputControl`.
    """

    mend = "train it longer (lm_steps) or give it more room (max_tokens)"  # when too few sampled texts are valid

    def __init__(
        self, model: Any, template: Template, trainable_layers: int | None, device: str, class_vectors: bool = False
    ) -> None:
        super().__init__(model, device, trainable_layers, template.vocabulary)
        self.template = template
        head = self.model.get_output_embeddings().weight
        self.control = OutputControl(head, template.n_classes) if class_vectors else None
        self.boundary = None if self.top is None else BoundaryControl(head, template)

    def trained(self) -> list[tuple[str, nn.Parameter]]:
        """What stages 1 and 2 train, by name, in a stable order."""
        found = super().trained()
        for kind, part in (("boundary", self.boundary), ("control", self.control)):
            found += [(f"{kind}.{name}", p) for name, p in part.named_parameters()] if part is not None else []
        return found

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
        starts = np.array([sequence[0] for sequence in sequences], dtype=np.int64)
        classes = torch.from_numpy(starts - self.template.bos[0]).to(self.device)
        nll, rows = self.token_losses(sequences, *self._steering(classes), states)
        sums = nll.new_zeros(len(lengths)).index_add(0, rows, nll)
        if probability == "length":
            return sums / torch.from_numpy(lengths - 1).to(sums)
        return sums / ((padded_to or rounded_up(int(lengths.max()))) - 1)

    @property
    def marks(self) -> Marks:
        """The ids that begin and end sampled texts."""
        return self.template.marks

    def prefixes(self, classes: np.ndarray) -> list[tuple[np.ndarray, None]]:
        """Rows that may share a batch of sampling: all, since nothing stands before a start token."""
        return [(np.arange(len(classes)), None)]

    def read(self, label: int, ids: np.ndarray) -> tuple[str, ...] | str:
        """The texts of a sampled sequence without its start token, or that it has not all of them."""
        return self.template.parse(ids) or "a text is missing"

    def step(self, ids: Tensor, cache: Any, starts: Tensor) -> tuple[Tensor, Any]:
        """The next tokens ids [B, L] of B rows of the classes `starts` [B]: logits float32 [B, V] of the last, cache.

        cache: None at first, then what the last call gave.
        """
        return self.next_logits(ids, cache, *self._steering(starts))

    def _steering(self, classes: Tensor) -> tuple[Adjust | None, Boundary | None]:
        """What tells the model these classes, int64 [B]."""
        control, boundary = self.control, self.boundary
        return (
            None if control is None else lambda hidden, rows: control(hidden, classes[rows]),
            None if boundary is None else lambda ids: boundary(ids, classes),
        )

    def _added(self) -> list[tuple[nn.Module, str]]:
        """What the model of transformers has not, and its files."""
        parts = ((self.top, _TOP), (self.boundary, _BOUNDARY), (self.control, _CONTROL))
        return [(part, name) for part, name in parts if part is not None]

    def state(self) -> dict[str, Tensor]:
        """Copies of what is trained."""
        return {name: p.detach().clone() for name, p in self.trained()}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Give back what `state` gave."""
        for name, parameter in self.trained():
            parameter.copy_(state[name])

    def save(self, folder: Path) -> None:
        """Write the whole generator, so that `load_generator` needs nothing beside this folder."""
        with quiet():
            self.model.save_pretrained(folder / "model")
        self.template.save(folder / "template")
        for part, name in self._added():
            save_file({key: p.cpu().contiguous() for key, p in part.state_dict().items()}, folder / name)
        facts = {"trainable_layers": self.trainable_layers, "class_vectors": self.control is not None}
        (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")


def load_generator(folder: Path, device: str) -> Generator:
    """The generator that `Generator.save` wrote."""
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    model = load_model(folder / "model", str(folder))
    template = Template.load(folder / "template")
    generator = Generator(model, template, facts["trainable_layers"], device, facts["class_vectors"])
    for part, name in generator._added():
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
    if generator.boundary is not None:
        some = {name: data.train.texts[name][:CALIBRATION_TEXTS] for name in info.fields}
        sequences = template.encode(some, info.fields, data.train.labels[:CALIBRATION_TEXTS])
        sequences, _ = template.shortened(sequences, min(generator.context, params.max_tokens or generator.context))
        generator.boundary.calibrate(generator.lower_states(sequences))
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
