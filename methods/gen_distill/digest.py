"""What the cached state of all stages is made from."""

from __future__ import annotations

import hashlib
import json

from bench.api import TrainData


def data_digest(data: TrainData) -> str:
    """Hex SHA-256 of the train rows and the names of their labels."""
    rows = [list(data.train.texts[name]) for name in data.info.fields]
    text = json.dumps([rows, data.train.labels.tolist(), list(data.info.label_names)], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
