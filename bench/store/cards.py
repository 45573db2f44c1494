"""Cards of tasks and sets: small JSON files beside the records, each of one type."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from bench.errors import UserError
from bench.store.files import read_json, write_atomic
from bench.store.record import SetCard, TaskCard
from bench.store.typed import reason
from bench.store.upgrade import READABLE, set_card_from_1, task_card_from_1, unreadable

if TYPE_CHECKING:
    import numpy as np

Card = TypeVar("Card")
REWRITE = "delete it and run the same `bench run` again to write it anew"


class Cards(Generic[Card]):
    """A folder of cards of one type, `<key>.json`."""

    def __init__(self, folder: Path, kind: type[Card], from_1: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self.folder = folder
        self._type = TypeAdapter(kind)
        self._from_1 = from_1

    def path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def read(self, key: str) -> Card | None:
        """The card, or None when there is none. UserError when it is damaged or of a newer bench."""
        path = self.path(key)
        if not path.is_file():
            return None
        found = read_json(path)
        try:
            if type(found) is not dict:
                raise ValueError("no JSON object")
            return self._parsed(found)
        except ValidationError as error:
            raise UserError(f"{path} is damaged ({reason(error)}): {REWRITE}") from None
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}): {REWRITE}") from None

    def _parsed(self, found: dict[str, Any]) -> Card:
        schema = found.get("schema", 1)
        if schema not in READABLE:
            raise ValueError(unreadable(schema))
        whole = self._from_1(found) if schema == 1 else found
        return self._type.validate_json(json.dumps(whole))

    def write(self, key: str, card: Card) -> None:
        """Write a card, in the place of one that is there."""
        value = self._type.dump_python(card)
        write_atomic(self.path(key), json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def set_cards(folder: Path) -> Cards[SetCard]:
    return Cards(folder, SetCard, set_card_from_1)


class Gold:
    """The gold labels of a task revision: `labels` int64 [n], `n_classes`, `metric`, and the card they are from."""

    def __init__(self, card: TaskCard, path: Path) -> None:
        self.card = card
        self.path = path
        self.metric = card.metric
        self.n_classes = len(card.label_names)

    @cached_property
    def labels(self) -> np.ndarray:
        import numpy as np

        return np.array(self.card.test_labels, dtype=np.int64)


class TaskCards:
    """The task cards of a result folder (`results/tasks/<revision>.json`), each read and checked once."""

    def __init__(self, folder: Path) -> None:
        self._cards = Cards(folder, TaskCard, task_card_from_1)
        self._known: dict[str, Gold] = {}

    def path(self, revision: str) -> Path:
        return self._cards.path(revision)

    def gold(self, revision: str) -> Gold | None:
        """Gold labels of a task revision; None without its card. UserError when the card contradicts itself."""
        if revision not in self._known:
            card = self._cards.read(revision)
            if card is None:
                return None
            self._known[revision] = Gold(card, self.path(revision))
        return self._known[revision]

    def write(self, revision: str, card: TaskCard) -> None:
        self._cards.write(revision, card)
