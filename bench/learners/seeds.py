"""Seeds by hash for what several jobs make alike: from one number that all of them know, and a purpose."""

from __future__ import annotations

import hashlib
import json


def derive(seed: int, *purpose: str | int) -> int:
    """A seed in [0, 2**32)."""
    text = json.dumps([seed, *purpose])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
