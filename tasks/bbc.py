"""`bbc`: a sentence of a BBC article -> the topic of the article."""

from __future__ import annotations

from bench.api import Context, Task, TaskData, TaskInfo
from tasks.articles import ASSET, TOPICS, articles
from tasks.params import PocketParams
from tasks.splits import SPLITS, Row, assemble, balanced, unique


class Bbc(Task):
    """Five topics; no article has sentences in two splits."""

    params: PocketParams

    def load(self, ctx: Context) -> TaskData:
        """Read the articles; rows of a split take the classes in turn, by hash within a class."""
        rows = unique(
            Row((sentence,), article.topic, article.split)
            for article in articles(ctx.asset(ASSET), self.params.min_words, self.params.max_words)
            for sentence in article.sentences
        )
        kept = [
            row
            for split in SPLITS
            for row in balanced((row for row in rows if row.split == split), self.params.cap(split))
        ]
        return assemble(TaskInfo("bbc", ("text",), TOPICS), kept, "bbc")
