"""Stage 2: fine-tuning the generator by gradient matching (Algorithm 1, eq. 3-5).

Only the last layer's gradients are matched, and they are linear in the weights a_i. So each step needs forward
passes of the learner alone, and the generator's gradient is that of a weighted log-likelihood: with
c_i = dL_GM/dl_i held fixed, the gradient of L_GM is the gradient of sum_i c_i l_i.

The learner's trajectory depends on real data only. Generators that differ in their own options alone are
therefore trained in lock step along one trajectory, each exactly as if it were alone. The K learner steps after
the last inner step of an outer loop reach no gradient, because the learner starts anew: they are left out.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.api import TaskInfo, UserError
from bench.data.batching import shortest_first
from bench.learners.causal.model import pieces
from bench.learners.checkpoint import load_checkpoint, save_checkpoint
from bench.learners.pretrained import own_rng
from bench.learners.seeds import derive
from bench.learners.train import Schedule
from methods.gen_distill.batches import diverse_batches, plain_batches
from methods.gen_distill.generator import Generator, rounded_up
from methods.gen_distill.learner import Learner
from methods.gen_distill.lm import Order, make_trainer, thinned
from methods.gen_distill.matching import effective_size, loss_weights, match, probabilities
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.synthesis import draw_pools
from methods.gen_distill.teacher import Teacher

MICRO_TOKENS = {"cpu": 4096, "cuda": 65536}  # padded tokens of the generator's micro-batches
CHECKPOINT_SECONDS = 120.0

Progress = Callable[[int, int, str], None]
Gradients = dict[tuple[Any, int], list[Tensor]]  # (teacher, class) -> gradient of the last layer on real data


class FineTuning:
    """One generator on its way through stage 2."""

    def __init__(
        self,
        generator: Generator,
        teacher: Teacher,
        params: GenDistillParams,
        info: TaskInfo,
        real_sequences: Sequence[np.ndarray],
        *,
        max_tokens: int,
        workspace: Path,
    ) -> None:
        """real_sequences: of the train rows, for the language-model loss."""
        self.generator, self.teacher, self.params, self.info = generator, teacher, params, info
        self.max_tokens, self.workspace = max_tokens, workspace
        self.seed = params.generator_seed
        self.total = params.outer_loops * params.inner_loop
        self.trainer = make_trainer(generator, Schedule(params.learning_rate, self.total, params.warmup), params)
        self.real_sequences = real_sequences
        batch = min(params.lm_batch, len(real_sequences))
        self.order = Order(len(real_sequences), batch, derive(self.seed, "stage 2, real texts"))
        self.outer = 0  # S done so far
        self.matching: list[list[float]] = []  # L_GM of each step and class
        self.sizes: list[list[float]] = []  # effective sample size of a_i
        self.drawn = self.invalid = 0
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.error: Exception | None = None
        self._saved = time.monotonic()
        self._restore()

    def _restore(self) -> None:
        numbers = load_checkpoint(self.workspace, self.trainer)
        if numbers is not None:
            self.outer = numbers["outer"]
            self.matching, self.sizes = numbers["matching"], numbers["sizes"]
            self.drawn, self.invalid = numbers["drawn"], numbers["invalid"]
            self.seconds.update(numbers["seconds"])

    def finish_outer(self) -> None:
        """Count an outer loop; write a checkpoint where the next one samples anew, so that no pool has to be kept."""
        self.outer += 1
        due = time.monotonic() - self._saved > CHECKPOINT_SECONDS
        boundary = self.outer * self.params.inner_loop % self.params.generation_interval == 0
        if self.outer == self.params.outer_loops or (due and boundary):
            numbers = {
                "outer": self.outer,
                "matching": self.matching,
                "sizes": self.sizes,
                "drawn": self.drawn,
                "invalid": self.invalid,
                "seconds": dict(self.seconds),
            }
            save_checkpoint(self.workspace, self.trainer, numbers)
            self._saved = time.monotonic()

    @property
    def clusters_trained(self) -> bool:
        """Whether batches follow the learner as the last outer loop left it, not as the next one begins."""
        return self.params.batch == "diverse" and self.params.batch_learner == "trained"

    def step(self, step: int, learner: Learner, real: Gradients) -> None:
        """One generator update, after `sample` where it is due.

        `real` shares the teachers' gradients among the generators of a step.
        """
        p = self.params
        self.generator.train_mode()
        self.trainer.clear()
        losses, sizes = [], []
        for label in range(self.info.n_classes):
            with self._timed("learner gradients"):
                target = self._target(step, label, learner, real)
                rows = self.batches[label][step % p.generation_interval]
                factors = learner.factors(self.prepared[label], rows, label)
            with self._timed("generator"):
                sequences = [self.sequences[label][row] for row in rows]
                seed = derive(self.seed, "generator dropout", step, label)
                micro = MICRO_TOKENS[torch.device(self.generator.device).type]
                loss, a = backward(self.generator, sequences, target, factors, self.info.n_classes, p, seed, micro)
            losses.append(loss)
            sizes.append(effective_size(a))
        with self._timed("generator"):
            if p.lm_weight > 0:
                self._add_lm_gradient(step)
            norm = self.trainer.clip()
            if not (all(map(math.isfinite, losses)) and math.isfinite(float(norm))):
                raise UserError(
                    f"gradient matching (stage 2) gave NaN at step {step + 1} of {self.total}: "
                    f"choose a smaller learning_rate than {p.learning_rate:g}"
                )
            self.trainer.apply()
        self.matching.append(losses)
        self.sizes.append(sizes)

    def _add_lm_gradient(self, step: int) -> None:
        """Add lambda times the gradient of stage 1's loss on a batch of train texts."""
        chosen = [self.real_sequences[row] for row in self.order.rows(step)]
        padded_to = rounded_up(max(map(len, chosen)))
        for number, piece in enumerate(pieces(chosen, MICRO_TOKENS[torch.device(self.generator.device).type])):
            with own_rng(derive(self.seed, "real dropout", step, number), self.generator.device):
                l = self.generator.losses([chosen[row] for row in piece], self.params.probability, padded_to)  # noqa: E741
            (l.sum() * (self.params.lm_weight / len(chosen))).backward()

    def _target(self, step: int, label: int, learner: Learner, real: Gradients) -> list[Tensor]:
        key = (self.teacher.key, label)
        if key not in real:
            factors = learner.real(self.teacher.rows(step, label))
            n = factors.blocks[0][0].shape[0]
            real[key] = factors.gradient(factors.blocks[0][0].new_full((n,), 1.0 / n))  # eq. 3
        return real[key]

    def sample(self, step: int, learner: Learner) -> None:
        """Sample N texts a class for each step until the next sampling, and put them into batches of N (b).

        Diverse batches follow the clusters of the learner's features as its weights are now.
        """
        p = self.params
        n_batches = min(p.generation_interval, self.total - step)
        with self._timed("sampling"):
            pools = draw_pools(
                self.generator,
                self.info,
                dict.fromkeys(range(self.info.n_classes), p.synthetic_batch * n_batches),
                p,
                max_tokens=self.max_tokens,
                seed=derive(self.seed, "synthetic texts", step),
            )
        self.drawn += sum(pool.drawn for pool in pools)
        self.invalid += sum(pool.invalid for pool in pools)
        self.sequences, self.prepared, self.batches = [], [], []
        for label, pool in enumerate(pools):
            labels = np.full(len(pool.texts[self.info.fields[0]]), label)
            # As in the reference, the loss is that of the text's own tokens, which need not be those that were drawn
            # and may be more of them than the generator can read.
            template = self.generator.template
            sequences = template.encode(pool.texts, self.info.fields, labels)
            self.sequences.append(template.shortened(sequences, self.generator.context)[0])
            with self._timed("learner gradients"):
                self.prepared.append(learner.prepare(pool.texts))
            if p.batch == "plain":
                self.batches.append(plain_batches(len(labels), p.synthetic_batch, n_batches))
                continue
            with self._timed("learner gradients"):
                features = learner.features(self.prepared[-1])
            with self._timed("diverse batches"):
                self.batches.append(
                    diverse_batches(
                        features,
                        p.synthetic_batch,
                        n_batches,
                        p.batch_draw,
                        derive(self.seed, "clusters", step, label),
                        self.generator.device,
                    )
                )

    @contextmanager
    def keeping_error(self) -> Iterator[None]:
        """What fails inside ends this generator's training alone."""
        try:
            yield
        except Exception as error:
            self.error = error

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[what] += time.perf_counter() - started

    def report(self) -> dict[str, Any]:
        """Facts and curves of stage 2."""
        names = self.info.label_names
        facts: dict[str, Any] = {f"stage 2, seconds: {what}": round(value, 1) for what, value in self.seconds.items()}
        facts["stage 2, steps"] = len(self.matching)
        facts["stage 2, texts sampled"] = self.drawn
        facts["stage 2, invalid rate"] = round(self.invalid / max(1, self.drawn), 4)
        curves = {}
        for label, name in enumerate(names):
            curves[f"L_GM, {name}"] = thinned([losses[label] for losses in self.matching])
        curves["effective sample size of a_i"] = thinned([float(np.mean(sizes)) for sizes in self.sizes])
        return {"facts": facts, "curves": curves}


def backward(
    generator: Generator,
    sequences: Sequence[np.ndarray],
    target: Sequence[Tensor],
    factors: Any,
    n_classes: int,
    params: GenDistillParams,
    seed: int,
    micro_tokens: int,
) -> tuple[float, Tensor]:
    """Add the gradient of (1 - lambda) L_GM / C of one class; returns L_GM and the weights a_i [N].

    More texts than one micro-batch holds take two passes: all l_i without gradients, then sum_i c_i l_i piece by
    piece under the same dropout masks. That is exact, because c_i = dL_GM/dl_i depends on the l_i alone.
    """
    lengths = np.array([len(sequence) for sequence in sequences])
    padded_to = rounded_up(int(lengths.max()))
    groups = shortest_first(lengths, micro_tokens, padded_to)

    def losses(number: int) -> Tensor:
        with own_rng(derive(seed, number), generator.device):
            return generator.losses([sequences[row] for row in groups[number]], params.probability, padded_to)

    inverse = torch.from_numpy(np.argsort(np.concatenate(groups), kind="stable")).to(generator.device)
    if len(groups) == 1:
        found = [losses(0)]
    else:
        with torch.no_grad():
            found = [losses(number) for number in range(len(groups))]
    l = torch.cat(found).detach().float()[inverse]  # noqa: E741  eq. 1
    a = probabilities(l)
    loss, gradient = match(target, factors, a)
    c = loss_weights(a, gradient) * (1.0 - params.lm_weight) / n_classes
    for number, piece in enumerate(groups):
        piece_losses = found[0] if len(groups) == 1 else losses(number)
        (piece_losses * c[torch.from_numpy(piece).to(c.device)].to(piece_losses)).sum().backward()
    return loss, a


def fine_tune(runs: Sequence[FineTuning], learner: Learner, progress: Progress) -> None:
    """Take all generators through Algorithm 1 along one learner trajectory; a failing one leaves its `error`.

    The generators must agree in what the trajectory depends on (see `parts.TRAJECTORY`).
    """
    p = runs[0].params
    left = -1  # the outer loop that left the learner as it is

    def start(s: int) -> None:
        learner.start(derive(p.generator_seed, "learner", s))

    for s in range(min(run.outer for run in runs), p.outer_loops):
        active = [run for run in runs if run.error is None and run.outer == s]
        if not active:
            continue
        first = s * p.inner_loop
        due = [run for run in active if first % run.params.generation_interval == 0]
        early = [run for run in due if run.clusters_trained and s > 0]
        if early and left != s - 1:  # after a resumed training
            start(s - 1)
            learner.update((p.inner_loop - 1) * p.learner_steps)
        for run in early:
            with run.keeping_error():
                run.sample(first, learner)
        start(s)
        for run in due:
            if run not in early:
                with run.keeping_error():
                    run.sample(first, learner)
        for t in range(p.inner_loop):
            step = first + t
            real: Gradients = {}
            active = [run for run in active if run.error is None]
            for run in active:
                with run.keeping_error():
                    run.step(step, learner, real)
            if t < p.inner_loop - 1:
                learner.update(p.learner_steps)
            progress(step + 1, p.outer_loops * p.inner_loop, f"gradient matching ({len(active)} generators)")
        left = s
        for run in active:
            if run.error is None:
                run.finish_outer()
