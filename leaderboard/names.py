"""Names as a user types them -> labels of tasks, methods and students in the results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath

from bench.errors import UserError, did_you_mean
from bench.store.labels import split, value_of, written


def normal(name: str) -> str:
    """One spelling for all orders of a name's parameters: `a[y=2, x=1]` -> `a[x=1,y=2]`."""
    head, bracket, rest = name.strip().partition("[")
    if not bracket or not rest.endswith("]"):
        return name.strip()
    try:
        pairs = [pair.partition("=") for pair in split(rest[:-1], name)]
    except UserError:
        return name.strip()
    return f"{head.strip()}[{','.join(sorted(f'{key.strip()}={written(value_of(text))}' for key, _, text in pairs))}]"


def _without_folder(name: str) -> str:
    """`table:/data/reviews.csv[...]` as labels have it: `table:reviews.csv[...]`."""
    head, bracket, rest = name.partition("[")
    plugin, colon, path = head.partition(":")
    return f"{plugin}{colon}{PurePath(path).name}{bracket}{rest}" if colon else name


def labels(kind: str, wanted: Sequence[str], known: Iterable[tuple[str, str]], where: str) -> set[str]:
    """The labels that some typed names select; the parameters of a name may stand in any order.

    kind: "task", "method" or "student"; `known`: (label, plugin name) pairs. A plugin name that is no label itself
    selects every label of the plugin. Raises UserError for a name that selects nothing; `where` ends its
    "no task 'x' ...".
    """
    pairs = set(known)
    found: set[str] = set()
    for name in wanted:
        for spelling in (normal(name), _without_folder(normal(name))):
            mine = {label for label, _ in pairs if normal(label) == spelling}
            mine = mine or {label for label, plugin in pairs if plugin == spelling}
            if mine:
                break
        else:
            words = {word for pair in pairs for word in pair}
            raise UserError(f"no {kind} '{name}' {where}{did_you_mean(normal(name), words)}")
        found |= mine
    return found
