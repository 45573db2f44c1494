"""Parameters of the built-in tasks; importing them loads nothing heavy."""

from __future__ import annotations

from pydantic import Field

from bench.api import Params


class PocketParams(Params):
    """Row caps and the length of a text; caps nest, and classes are kept in balance."""

    train_rows: int | None = Field(2000, ge=1, description="most train rows, classes in balance; null: all")
    validation_rows: int | None = Field(400, ge=1, description="most validation rows; null: all")
    test_rows: int | None = Field(400, ge=1, description="most test rows; null: all")
    min_words: int = Field(6, ge=1, description="fewest words of a text")
    max_words: int = Field(18, ge=1, description="most words of a text")

    def cap(self, split: str) -> int | None:
        """The most rows of a split, or None."""
        caps = {"train": self.train_rows, "validation": self.validation_rows, "test": self.test_rows}
        return caps[split]
