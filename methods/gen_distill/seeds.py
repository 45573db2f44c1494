"""Seeds of stages 1 and 2, which all sets share: derived by hash from `generator_seed` and a purpose."""

from __future__ import annotations

import hashlib
import json


def derive(seed: int, *purpose: str | int) -> int:
    """A seed in [0, 2**32)."""
    text = json.dumps([seed, *purpose])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
