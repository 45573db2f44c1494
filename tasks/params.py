"""Parameters of the built-in tasks; importing them loads nothing heavy."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from bench.api import AssetRef, Params


class RowCaps(Params):
    """Most rows of each split; a smaller cap keeps a subset of what a larger one keeps."""

    train_rows: int | None = Field(None, ge=1, description="most train rows, chosen by hash; null: all")
    validation_rows: int | None = Field(None, ge=1, description="most validation rows, chosen by hash; null: all")
    test_rows: int | None = Field(None, ge=1, description="most test rows, chosen by hash; null: all")

    def cap(self, split: str) -> int | None:
        """The most rows of a split, or None for all."""
        caps = {"train": self.train_rows, "validation": self.validation_rows, "test": self.test_rows}
        return caps[split]


class PocketParams(RowCaps):
    """Row caps, classes in balance, and the length of a text."""

    min_words: int = Field(1, ge=1, description="fewest words of a text; of a pair's second text")
    max_words: int = Field(100, ge=1, description="most words of a text; of a pair's second text")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_words < self.min_words:
            raise ValueError(f"max_words ({self.max_words}) is below min_words ({self.min_words})")
        return self


class PairParams(PocketParams):
    """As PocketParams, for the pairs made of BBC sentences."""

    pair: Literal["headline-lead", "sentences"] = Field(
        "headline-lead", description="a headline with a lead, or any two sentences (harder)"
    )
    seed: int = Field(0, ge=0, description="which sentences are paired")


class GlueParams(RowCaps):
    """Row caps and the size of the validation split, which is carved out of train."""

    validation_rows: int = Field(1000, ge=1, description="rows of train that become the validation split, by hash")
    max_words: int | None = Field(
        None, ge=1, description="most words of a train row; files with broken quotes run rows together; null: all"
    )
    repeats: Literal["keep", "drop"] = Field(
        "keep", description="train rows that are repeated, contradictory or in the test split; the paper keeps them"
    )


class TableParams(RowCaps):
    """A table of labelled texts: its file, its columns and its splits."""

    path: Annotated[str, AssetRef()] = Field(min_length=1, description="file: .csv, .tsv, .jsonl, .json or .parquet")
    text: tuple[str, ...] = Field((), max_length=2, description="one or two text columns; empty: found by their names")
    label: str = Field("", description="label column; empty: found by its name")
    test: Annotated[str, AssetRef()] = Field("", description="file with the test rows; empty: a share of `path`")
    test_fraction: float = Field(0.2, gt=0, lt=1, description="share of each class that is tested, without `test`")
    validation_fraction: float = Field(0.1, gt=0, lt=1, description="share of each class that validates")

    @field_validator("text", mode="before")
    @classmethod
    def _one_column(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) and value else value

    @model_validator(mode="after")
    def _some_train(self) -> Self:
        if not self.test and self.test_fraction + self.validation_fraction >= 1:
            raise ValueError("test_fraction and validation_fraction leave no train rows")
        return self
