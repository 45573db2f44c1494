"""Parts that are made one by one, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.api import Context, Part, TrainData


def one_by_one(
    make: Callable[[Part, TrainData, Context], None], parts: Sequence[Part], data: TrainData, ctx: Context
) -> dict[int, Exception]:
    """Call `make` for each part; the error of each that failed, by its position, as `Part.make` has to give them."""
    errors: dict[int, Exception] = {}
    for number, part in enumerate(parts):
        try:
            make(part, data, ctx)
        except Exception as error:
            errors[number] = error
    return errors
