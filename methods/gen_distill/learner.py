"""The learner: the classifier whose gradients are matched, trained on real data between two generator steps.

Its trajectory depends on the real data and the seed alone. Whatever is computed in between, the same seed gives
the same weights bit for bit: each use of random numbers has a stream of its own, derived from seed and step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional

from bench.api import Context, TrainData, UserError
from bench.data.batching import longest_first
from bench.learners import recipe
from bench.learners.dropout import Drop
from bench.learners.load import load_network
from bench.learners.network import Inputs
from bench.learners.pretrained import precision
from bench.learners.seeds import derive
from methods.gen_distill.matching import Factors
from methods.gen_distill.params import GenDistillParams

TOKENS = {"cpu": 4096, "cuda": 65536}  # of a forward pass, padding included
KEPT_BYTES = 2 << 30  # of frozen states in memory, if all classes have as many texts; those of more are not kept


class Learner:
    """A pretrained encoder with a new head, and where it is on its trajectory. Call `start` before the rest."""

    def __init__(self, data: TrainData, ctx: Context, params: GenDistillParams) -> None:
        """Load `params.learner` and prepare the train rows. Raises UserError when it cannot serve as a learner."""
        self.device, self.dropout, self.fields = ctx.device, params.learner_dropout, data.info.fields
        steps = params.inner_loop * params.learner_steps
        self.recipe = recipe.Recipe(params.learner_learning_rate, steps=steps, batch=params.learner_batch)
        try:
            self.network = load_network(
                ctx.asset(params.learner),
                data.info.n_classes,
                ctx.device,
                trainable_layers=params.learner_layers,
                dropout=None if params.learner_dropout else 0.0,
                max_length=params.max_length,
                identity=ctx.asset_identity(params.learner),
            )
            self.head = self.network.head
        except UserError as error:  # the networks know the option by its name among the students'
            raise UserError(f"learner: {str(error).replace('trainable_layers', 'learner_layers')}") from error
        self.train = self.network.shared(data.train.texts, self.fields, ctx)
        self.labels = torch.tensor(data.train.labels, device=ctx.device)

    def start(self, seed: int) -> None:
        """Begin an outer loop: pretrained weights, a head from N(0, initializer_range), a new AdamW.

        The schedule spans the T*K steps of the loop: half warm-up, half cosine, as in the students' recipe.
        """
        self.seed = seed
        self.weights = self.network.initial(torch.Generator().manual_seed(derive(seed, "head")))
        self.trainer = recipe.make_trainer(self.weights, self.network.spared, self.recipe, self.recipe.steps)
        n, order = len(self.labels), np.random.default_rng(derive(seed, "order"))
        self.order = recipe.batches(n, min(self.recipe.batch, n), self.recipe.steps, order)

    def update(self, steps: int) -> None:
        """`steps` AdamW steps on shuffled real mini-batches of all classes."""
        for _ in range(steps):
            rows = next(self.order)
            self.trainer.clear()
            batch, drop = self.network.batch(self.train, rows), self._drop("update")
            _, x = self.network.encode(self.weights, batch, drop)
            with precision(self.device):
                logits = self.head.logits(self.weights, x, drop)
            functional.cross_entropy(logits.float(), self._labels(rows)).backward()
            self.trainer.step()

    def real(self, rows: np.ndarray, tag: str = "real") -> Factors:
        """Factors of train rows, in this order, with their own labels."""
        return self._factors(self.train, rows, self._labels(rows), tag)

    def prepare(self, texts: Mapping[str, Sequence[str]]) -> Inputs:
        """N texts or pairs as `factors` and `features` read them: tokens, or the output of the frozen layers."""
        tokens = self.network.tokenize(texts, self.fields)
        size = 4 * self.network.width * int(tokens.lengths().sum())
        return tokens if size * self.network.n_classes > KEPT_BYTES else self.network.prepare(tokens)

    def factors(self, prepared: Inputs, rows: np.ndarray, label: int, tag: str = "synthetic") -> Factors:
        """Factors of some prepared texts, in this order, all taken to be of one class.

        Dropout follows seed, step, labels and `tag`: the same texts give the same factors to whoever asks.
        """
        return self._factors(prepared, rows, torch.full((len(rows),), label, device=self.device), tag)

    @torch.no_grad()
    def features(self, prepared: Inputs) -> np.ndarray:
        """[CLS] of the last hidden layer with the current weights, without dropout: float32 [N, d]."""
        found = np.empty((len(prepared), self.network.width), dtype=np.float32)
        for rows in self._pieces(prepared.lengths()):
            hidden, _ = self.network.encode(self.weights, self.network.batch(prepared, rows), self.network.dropout())
            found[rows] = hidden.float().cpu().numpy()
        return found

    @torch.no_grad()
    def _factors(self, prepared: Inputs, rows: np.ndarray, labels: torch.Tensor, tag: str) -> Factors:
        """The encoder in its own precision, the head in float32."""
        pieces, parts = self._pieces(prepared.lengths()[rows]), []
        drop = self._drop("factors", tag, *torch.unique(labels).tolist())
        for piece in pieces:
            _, x = self.network.encode(self.weights, self.network.batch(prepared, rows[piece]), drop)
            own = labels[torch.from_numpy(piece).to(self.device)]
            parts.append(Factors(self.head.factors(self.weights, x.float(), own, drop)))
        order = torch.from_numpy(np.argsort(np.concatenate(pieces))).to(self.device)
        return Factors.joined(parts, order)

    def _labels(self, rows: np.ndarray) -> torch.Tensor:
        return self.labels[torch.from_numpy(rows).to(self.device)]

    def _drop(self, *purpose: str | int) -> Drop:
        seeds = [derive(self.seed, self.trainer.done, *purpose)] if self.dropout else []
        return self.network.dropout(*seeds)

    def _pieces(self, lengths: np.ndarray) -> list[np.ndarray]:
        return longest_first(lengths, TOKENS[torch.device(self.device).type])
