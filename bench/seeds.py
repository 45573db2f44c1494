"""Seeds derived by hash, so that a replicate computed alone equals the same replicate in any batch."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bench.store.identity import canonical

if TYPE_CHECKING:
    import numpy as np


def derive(*parts: str | int | None) -> int:
    """A seed in [0, 2**32) from the parts: torch, numpy and scikit-learn all accept that range."""
    return int.from_bytes(hashlib.sha256(canonical(list(parts)).encode()).digest()[:4], "big")


def generator(*parts: str | int | None) -> np.random.Generator:
    """A numpy generator of its own for the parts; no global state is touched."""
    import numpy as np

    return np.random.default_rng(int.from_bytes(hashlib.sha256(canonical(list(parts)).encode()).digest()[:16], "big"))
