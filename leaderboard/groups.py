"""Which rows no comparison tells apart, as letters beside them."""

from __future__ import annotations

from collections.abc import Iterable
from string import ascii_lowercase

Apart = Iterable[tuple[int, int]]  # places of two rows that are separated


def tie_groups(n: int, apart: Apart) -> list[str] | None:
    """The letters of n rows: two rows share one if and only if they are not separated.

    The compact letter display of Piepho 2004, a letter a largest group without a separated pair; "a" is that of the
    first row. None where the alphabet does not suffice (comparisons that contradict each other's order).
    """
    groups = [frozenset(range(n))]
    for one, other in apart:
        split = [group for group in groups if one in group and other in group]
        groups = [group for group in groups if group not in split] if split else groups
        for part in sorted((group - {place} for group in split for place in (one, other)), key=len, reverse=True):
            if not any(part <= group for group in groups):
                groups.append(part)
        if len(groups) > len(ascii_lowercase):
            return None
    named = zip(ascii_lowercase, sorted(groups, key=sorted), strict=False)
    found = [""] * n
    for letter, group in named:
        for place in group:
            found[place] += letter
    return found
