"""What a set of embeddings says of its encoder, against what this run knows of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.api import DistilledSet, Embeddings
from bench.data.assets import Assets
from bench.errors import PluginError
from bench.settings import Settings
from bench.work.checks import check_encoder, league


def vectors(encoder: str, identity: dict | None) -> DistilledSet:
    arrays = (np.zeros((2, 3, 4), np.float32), np.ones((2, 3), np.int64), np.eye(2, dtype=np.float32))
    return DistilledSet(np.array([0, 1]), embeddings=Embeddings(*arrays, encoder, encoder_identity=identity))


def test_the_encoder_is_an_asset_with_the_identity_that_the_set_brings(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
    assets = Assets({}, Settings.make(cache=tmp_path / "cache"))
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    for identity in (None, assets.identity(one)):
        check_encoder(vectors(one, identity), assets.identity, "m")
    check_encoder(DistilledSet(np.array([0]), {"text": ["a"]}), assets.identity, "m")
    with pytest.raises(
        PluginError, match=r"m returned embeddings for the encoder '.*other' with the identity of anoth"
    ):
        check_encoder(vectors(other, assets.identity(one)), assets.identity, "m")
    with pytest.raises(PluginError, match="m returned embeddings for the encoder 'on': 'on' is no asset"):
        check_encoder(vectors("on", assets.identity(one)), assets.identity, "m")
    check_encoder(vectors("on", None), assets.identity, "m")


def test_leagues_follow_what_was_read() -> None:
    texts = DistilledSet(np.array([0, 1]), {"text": ["a", "b"]})
    soft = DistilledSet(np.array([0, 1]), {"text": ["a", "b"]}, soft_labels=np.eye(2, dtype=np.float32))
    found = [league(texts, "texts", "s"), league(soft, "texts", "s"), league(vectors("e", None), "embeddings", "s")]
    assert found == ["A", "B", "C"]
    assert league(texts, "demonstrations", "s") == league(soft, "demonstrations", "s") == "D"
    for one, read in ((texts, "embeddings"), (vectors("e", None), "demonstrations"), (texts, "words")):
        with pytest.raises(PluginError, match="student 's' says that it reads"):
            league(one, read, "s")
