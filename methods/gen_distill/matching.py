"""Gradient matching in the last layer, in closed form (Maekawa et al. 2024, eq. 3-5).

The gradient of cross-entropy with respect to a linear layer is an outer product for each sample, so that of the
weighted loss sum_i a_i l_theta(x_i) is sum_i a_i U_i V_i^T. It is linear in the weights a_i: neither the
generator's gradient nor the learner's needs a backward pass through the learner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

EPS = 1e-8  # least norm that a cosine divides by, as in torch.nn.functional.cosine_similarity


@dataclass(frozen=True)
class Factors:
    """Gradients of the last layer for n samples, one block for each of its linear maps.

    The gradient of block b for sample i is the outer product of U_i and V_i; U is [n, p], V is [n, q], where q
    counts a column of ones if the map has a bias.
    """

    blocks: tuple[tuple[Tensor, Tensor], ...]

    def __len__(self) -> int:
        return len(self.blocks[0][0])

    @classmethod
    def joined(cls, parts: Sequence[Factors], order: Tensor) -> Factors:
        """The samples of all parts, one part after another and then in this order, int64 [n]."""
        blocks = zip(*(part.blocks for part in parts), strict=True)
        return cls(tuple((torch.cat([U for U, _ in b])[order], torch.cat([V for _, V in b])[order]) for b in blocks))

    def gradient(self, a: Tensor) -> list[Tensor]:
        """sum_i a_i U_i V_i^T for weights a [n]: [p, q] for each block."""
        return [(U * a.to(U)[:, None]).T @ V for U, V in self.blocks]

    def products(self, gradient: Sequence[Tensor]) -> Tensor:
        """<gradient, U_i V_i^T> over all blocks, for each sample: [n]."""
        parts = [((U @ G) * V).sum(1) for G, (U, V) in zip(gradient, self.blocks, strict=True)]
        return torch.stack(parts).sum(0)


def probabilities(losses: Tensor) -> Tensor:
    """a_i of eq. 5 from the generator's losses l_i = -log p_phi(x_i): [N], positive, with sum 1."""
    return torch.softmax(-losses, 0)


def match(real: Sequence[Tensor], synthetic: Factors, a: Tensor) -> tuple[float, Tensor]:
    """L_GM = 1 - cos of the two gradients, all blocks flattened and joined (eq. 3-4), and dL_GM/da [N].

    `real`: gradient on real data, [p, q] for each block; a [N]: weights of the synthetic samples (eq. 5).
    Norms below 1e-8 count as 1e-8, so that a gradient of zeros gives L_GM = 1 and finite derivatives.
    """
    own = synthetic.gradient(a)
    norm_real, norm_own = _norm(real), _norm(own)
    bounded_real, bounded_own = norm_real.clamp_min(EPS), norm_own.clamp_min(EPS)
    cosine = _dot(real, own) / (bounded_real * bounded_own)
    toward_real = synthetic.products(real) / (bounded_real * bounded_own)
    along_own = synthetic.products(own) / bounded_own**2
    derivative = torch.where(norm_own > EPS, cosine * along_own - toward_real, -toward_real)
    return float(1.0 - cosine), derivative


def loss_weights(a: Tensor, dL_da: Tensor) -> Tensor:
    """c_i = dL_GM/dl_i = -a_i (dL_GM/da_i - sum_j a_j dL_GM/da_j): [N], with sum 0.

    With c held fixed, sum_i c_i l_i has the same gradient in phi as L_GM.
    """
    return -a * (dL_da - (a * dL_da).sum())


def effective_size(a: Tensor) -> float:
    """1 / sum_i a_i^2: N for equal weights, 1 when one sample has them all."""
    return float(1.0 / (a**2).sum())


def _dot(A: Sequence[Tensor], B: Sequence[Tensor]) -> Tensor:
    return torch.stack([(x * y).sum() for x, y in zip(A, B, strict=True)]).sum()


def _norm(A: Sequence[Tensor]) -> Tensor:
    return _dot(A, A).sqrt()
