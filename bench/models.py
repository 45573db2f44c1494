"""Which pretrained models a job may read, by the content of their weights: what tells a white box from a black one."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import Embeddings
from bench.data.assets import Assets, weights
from bench.selection import Choice
from bench.store.embeddings import plain
from bench.store.identity import canonical
from bench.store.record import Content


def read_by(choice: Choice, assets: Assets) -> dict[str, Content]:
    """Reference -> content of the assets that a method (its parts read no others) or a student declares."""
    return {ref: assets.content(ref) for ref in choice.spec.assets(choice.params)}


def encoder_of(embeddings: Embeddings | None, assets: Assets, known: Sequence[str]) -> dict[str, Content]:
    """The encoder whose vectors a set holds; empty for a set without any. known: references that are resolved here.

    A set from elsewhere says by its identity which one that is: its reference may mean another one here.
    """
    if embeddings is None:
        return {}
    ref, identity = embeddings.encoder, plain(embeddings.encoder_identity or {})
    if not identity:
        return {ref: assets.content(ref)}
    files = identity.get("files")
    if isinstance(files, dict) and all(isinstance(digest, str) for digest in files.values()):
        return {ref: weights(files)}
    mine = [ref] if ref in assets.registered else []
    same = (other for other in (*known, *mine) if canonical(assets.identity(other)) == canonical(identity))
    other = next(same, None)
    return {ref: None if other is None else assets.content(other)}
