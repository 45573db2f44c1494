"""Embeddings for the kit: what the encoder of a student reads of some texts, and what no encoder reads."""

from __future__ import annotations

from dataclasses import replace

from bench.api import DistilledSet, Embeddings
from bench.data.encoders import shared_encoder, tokenize
from bench.errors import UserError
from bench.testing.kit import Kit

STEPS = (0.1, 0.05)  # step sizes of the sets, as if they were learned
CERTAIN = 0.9  # of an example's own class; so its label distribution is not its label


def word_embeddings(kit: Kit, distilled: DistilledSet, n_classes: int) -> Embeddings | None:
    """Rows of the embedding table for the tokens of a set's texts; None for a plugin that declares no encoder."""
    import numpy as np

    assert distilled.texts is not None
    for ref in kit.spec.assets(kit.params):
        try:
            encoder = shared_encoder(kit.assets.fetch(ref))
        except UserError:  # another kind of asset
            continue
        tokens = tokenize(encoder.tokenizer, distilled.texts, tuple(distilled.texts), encoder.max_length)
        batch = tokens.batch(np.arange(len(tokens)))
        table = encoder.model.get_input_embeddings().weight.detach()
        values, mask = table[batch["input_ids"]].float().numpy(), batch["attention_mask"].numpy()
        found = _embeddings(distilled, values, mask, n_classes)
        return replace(found, encoder=ref, encoder_identity=kit.assets.identity(ref))
    return None


def of_no_encoder(distilled: DistilledSet, n_classes: int) -> Embeddings:
    """Vectors of width 3."""
    import numpy as np

    values = np.ones((len(distilled), 4, 3), np.float32)
    return _embeddings(distilled, values, np.ones(values.shape[:2], np.int64), n_classes)


def _embeddings(distilled: DistilledSet, values: object, mask: object, n_classes: int) -> Embeddings:
    import numpy as np

    soft = np.full((len(distilled), n_classes), (1 - CERTAIN) / (n_classes - 1), np.float32)
    soft[np.arange(len(distilled)), distilled.labels] = CERTAIN
    return Embeddings(values, mask, soft, "no-encoder", step_sizes=np.array(STEPS, np.float32))  # type: ignore[arg-type]
