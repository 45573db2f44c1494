"""The learner: the classifier whose gradients are matched, trained on real data between two generator steps.

Its trajectory depends on the real data and the seed alone. Whatever is computed in between, the same seed gives
the same weights bit for bit: each use of random numbers has a stream of its own, derived from seed and step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.api import Context, TrainData, UserError
from bench.data.batching import longest_first
from bench.data.encoders import Tokens
from bench.learners import recipe
from bench.learners.head import head_input, head_of, head_states, split_head
from bench.learners.pretrained import own_rng, precision
from bench.learners.seeds import derive
from bench.learners.split import Batch, Drop, Dropout, Packed, SplitModel, can_split
from bench.learners.whole import WholeModel
from methods.gen_distill.matching import Factors
from methods.gen_distill.params import GenDistillParams

TOKENS = {"cpu": 4096, "cuda": 65536}  # of a forward pass, padding included
KEPT_BYTES = 2 << 30  # of frozen states in memory, if all classes have as many texts; those of more are not kept

Prepared = Tokens | Packed


class Learner:
    """A pretrained encoder with a new head, and where it is on its trajectory. Call `start` before the rest."""

    def __init__(self, data: TrainData, ctx: Context, params: GenDistillParams) -> None:
        """Load `params.learner` and prepare the train rows. Raises UserError when it cannot serve as a learner."""
        self.device, self.dropout = ctx.device, params.learner_dropout
        steps = params.inner_loop * params.learner_steps
        self.recipe = recipe.Recipe(params.learner_learning_rate, steps=steps, batch=params.learner_batch)
        self.folder = ctx.asset(params.learner)
        split = params.learner_layers is not None and can_split(self.folder)
        try:
            self.model = (_Split if split else _Whole)(self.folder, data, ctx, params)
        except UserError as error:  # the models know the option by its name among the students'
            raise UserError(f"learner: {str(error).replace('trainable_layers', 'learner_layers')}") from error
        self.train = self.model.train_rows(data, ctx)
        self.labels = torch.tensor(data.train.labels, device=ctx.device)

    def start(self, seed: int) -> None:
        """Begin an outer loop: pretrained weights, a head from N(0, initializer_range), a new AdamW.

        The schedule spans the T*K steps of the loop: half warm-up, half cosine, as in the students' recipe.
        """
        self.seed, self.step = seed, 0
        self.model.reset(torch.Generator().manual_seed(derive(seed, "head")))
        self.trainer = recipe.make_trainer(self.model.trained, self.recipe, self.recipe.steps)
        n, order = len(self.labels), np.random.default_rng(derive(seed, "order"))
        self.order = recipe.batches(n, min(self.recipe.batch, n), self.recipe.steps, order)

    def update(self, steps: int) -> None:
        """`steps` AdamW steps on shuffled real mini-batches of all classes."""
        for _ in range(steps):
            rows = next(self.order)
            self.trainer.clear()
            with self._drop("update") as drop, precision(self.device):
                logits = self.model.head.logits(self.model.head_input(self.train, rows, drop), drop)
            functional.cross_entropy(logits.float(), self._labels(rows)).backward()
            self.trainer.step()
            self.step += 1

    def real(self, rows: np.ndarray, tag: str = "real") -> Factors:
        """Factors of train rows, in this order, with their own labels."""
        return self._factors(self.train, rows, self._labels(rows), tag)

    def prepare(self, texts: Mapping[str, Sequence[str]]) -> Prepared:
        """N texts or pairs as `factors` and `features` read them: tokens, or the output of the frozen layers."""
        return self.model.prepare(texts)

    def factors(self, prepared: Prepared, rows: np.ndarray, label: int, tag: str = "synthetic") -> Factors:
        """Factors of some prepared texts, in this order, all taken to be of one class.

        Dropout follows seed, step, labels and `tag`: the same texts give the same factors to whoever asks.
        """
        return self._factors(prepared, rows, torch.full((len(rows),), label, device=self.device), tag)

    @torch.no_grad()
    def features(self, prepared: Prepared) -> np.ndarray:
        """[CLS] of the last hidden layer with the current weights, without dropout: float32 [N, d]."""
        lengths = self.model.lengths(prepared)
        found = np.empty((len(lengths), self.model.width), dtype=np.float32)
        with self.model.dropout(None) as drop:
            for rows in self._pieces(lengths):
                with precision(self.device):
                    states = self.model.states(prepared, rows, drop)
                found[rows] = states.float().cpu().numpy()
        return found

    @torch.no_grad()
    def _factors(self, prepared: Prepared, rows: np.ndarray, labels: Tensor, tag: str) -> Factors:
        """The encoder in its own precision, the head in float32."""
        pieces = self._pieces(self.model.lengths(prepared)[rows])
        parts = []
        with self._drop("factors", tag, *torch.unique(labels).tolist()) as drop:
            for piece in pieces:
                with precision(self.device):
                    x = self.model.head_input(prepared, rows[piece], drop)
                own = labels[torch.from_numpy(piece).to(self.device)]
                parts.append(Factors(self.model.head.factors(x.float(), own, drop)))
        order = torch.from_numpy(np.argsort(np.concatenate(pieces))).to(self.device)
        return Factors.joined(parts, order)

    def _labels(self, rows: np.ndarray) -> Tensor:
        return self.labels[torch.from_numpy(rows).to(self.device)]

    def _drop(self, *purpose: str | int) -> AbstractContextManager[Drop]:
        seed = derive(self.seed, self.step, *purpose)
        return self.model.dropout(seed if self.dropout else None)

    def _pieces(self, lengths: np.ndarray) -> list[np.ndarray]:
        return longest_first(lengths, TOKENS[torch.device(self.device).type])


class _Split:
    """A BERT-like encoder whose frozen layers have run once for each text (see `bench.learners.split`)."""

    def __init__(self, folder: Path, data: TrainData, ctx: Context, params: GenDistillParams) -> None:
        assert params.learner_layers is not None
        self.device, self.fields = ctx.device, data.info.fields
        self.model = SplitModel(
            folder,
            data.info.n_classes,
            ctx.device,
            trainable_layers=params.learner_layers,
            dropout=None if params.learner_dropout else 0.0,
            max_length=params.max_length,
            identity=ctx.asset_identity(params.learner),
        )
        self.trained, self.reset, self.width = self.model.top, self.model.reset, self.model.lower.width
        self.head = split_head(self.model.top)

    def train_rows(self, data: TrainData, ctx: Context) -> Packed:
        """From the cache, which runs of other methods and students share."""
        return self.model.frozen_states(data.train.texts, self.fields, ctx, cached=True)

    def prepare(self, texts: Mapping[str, Sequence[str]]) -> Prepared:
        tokens = self.model.texts.encode(texts, self.fields)
        size = 4 * self.width * int(tokens.lengths().sum())
        if size * self.model.n_classes > KEPT_BYTES:
            return tokens
        return self.model.lower_states(tokens, np.arange(len(tokens)))

    def lengths(self, prepared: Prepared) -> np.ndarray:
        return prepared.lengths if isinstance(prepared, Packed) else prepared.lengths()

    @contextmanager
    def dropout(self, seed: int | None) -> Iterator[Dropout]:
        """Dropout for the block, or none of it."""
        yield Dropout(None if seed is None else torch.Generator(self.device).manual_seed(seed))

    def states(self, prepared: Prepared, rows: np.ndarray, drop: Drop) -> Tensor:
        """[CLS] of the last layer, [len(rows), d]."""
        return self.model.top.first(self._batch(prepared, rows), drop)

    def head_input(self, prepared: Prepared, rows: np.ndarray, drop: Drop) -> Tensor:
        """What the head reads, [len(rows), d]."""
        return self.model.top.head_input(self._batch(prepared, rows), drop)

    def _batch(self, prepared: Prepared, rows: np.ndarray) -> Batch:
        packed = prepared.rows(rows) if isinstance(prepared, Packed) else self.model.lower_states(prepared, rows)
        return Batch(packed, self.device)


class _Whole:
    """Any encoder whose head is known, through its own forward pass."""

    def __init__(self, folder: Path, data: TrainData, ctx: Context, params: GenDistillParams) -> None:
        self.device, self.fields = ctx.device, data.info.fields
        self.whole = WholeModel(
            folder,
            data.info.n_classes,
            ctx.device,
            trainable_layers=params.learner_layers,
            dropout=None if params.learner_dropout else 0.0,
            max_length=params.max_length,
        )
        self.trained, self.reset = self.whole.model, self.whole.reset
        self.head = head_of(self.whole.model)
        self.width = int(self.whole.model.config.hidden_size)

    def train_rows(self, data: TrainData, ctx: Context) -> Tokens:
        return self.prepare(data.train.texts)

    def prepare(self, texts: Mapping[str, Sequence[str]]) -> Tokens:
        return self.whole.texts.encode(texts, self.fields)

    def lengths(self, prepared: Prepared) -> np.ndarray:
        assert isinstance(prepared, Tokens)
        return prepared.lengths()

    @contextmanager
    def dropout(self, seed: int | None) -> Iterator[Drop]:
        """Training mode and torch's generators seeded for the block, or evaluation mode."""
        if seed is None:
            self.whole.model.eval()
            yield lambda x, rate: x
        else:
            self.whole.train_mode()
            with own_rng(seed, self.device):
                yield functional.dropout

    def states(self, prepared: Prepared, rows: np.ndarray, drop: Drop) -> Tensor:
        """State of the token that the head reads, [len(rows), d]."""
        output, mask = self._forward(prepared, rows)
        return head_states(self.whole.model, output.last_hidden_state, mask)

    def head_input(self, prepared: Prepared, rows: np.ndarray, drop: Drop) -> Tensor:
        """What the head reads, [len(rows), d]."""
        return head_input(self.whole.model, *self._forward(prepared, rows))

    def _forward(self, prepared: Prepared, rows: np.ndarray) -> tuple[Any, Tensor]:
        assert isinstance(prepared, Tokens)
        inputs = self.whole.texts.pad(prepared, rows, self.device)
        return self.whole.model.base_model(**inputs), inputs["attention_mask"]
