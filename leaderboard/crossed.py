"""The mean of scores that two things vary at once: rows (sets, or runs of one set) and the test items of all of them.

Y [rows S, items I] = mu + row + item + rest, rows and items drawn at random and crossed. The mean squares of this
two-way layout give each part of the variance of the mean (Searle, Casella and McCulloch 1992, chapter 4):

    Var(mean) = sigma_row^2 / S + sigma_item^2 / I + sigma_rest^2 / (S I)
    E[MS_row] = I sigma_row^2 + sigma_rest^2,  E[MS_item] = S sigma_item^2 + sigma_rest^2,  E[MS_rest] = sigma_rest^2

so MS_row / (S I) is the rows' part with the rest in it, and (MS_item - MS_rest) / (S I) what items add.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

SMALLEST = 1e-12  # p-value
NO_ERROR = 1e-13  # standard error of equal values, by rounding
HALVINGS = 30
DIGITS = 9  # of the bootstrap: those behind depend on the threads of a product of matrices


class MeanSquares(NamedTuple):
    """Of one layout [S, I] or of several [..., S, I]; NaN where S or I is 1."""

    mean: np.ndarray
    row: np.ndarray
    item: np.ndarray
    rest: np.ndarray


def mean_squares(values: np.ndarray) -> MeanSquares:
    """values [..., S, I], float64."""
    rows, items = values.shape[-2:]
    mean = values.mean(axis=(-2, -1))
    centred = values - mean[..., None, None]
    of_row, of_item = (centred.mean(axis=axis) for axis in (-1, -2))
    row, item, whole = (items * _squares(of_row, 1), rows * _squares(of_item, 1), _squares(centred, 2))
    rest = np.maximum(whole - row - item, 0.0)
    free = {"row": rows - 1, "item": items - 1, "rest": (rows - 1) * (items - 1)}
    found = {"row": row, "item": item, "rest": rest}
    return MeanSquares(mean, **{name: part / (free[name] or np.nan) for name, part in found.items()})


def _squares(values: np.ndarray, axes: int) -> np.ndarray:
    found: np.ndarray = np.square(values).sum(axis=tuple(range(-axes, 0)))
    return found


class Widths(NamedTuple):
    """Half widths of intervals of the mean: what rows make of it, what items add, and both."""

    row: np.ndarray  # 0 for one row
    item: np.ndarray  # 0 for one item
    both: np.ndarray


def errors(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors of the mean of values [..., S, I]: what rows make of it, and what items add."""
    rows, items = values.shape[-2:]
    squares, none = mean_squares(values), np.zeros(values.shape[:-2])
    of_rows = np.sqrt(squares.row / (rows * items)) if rows > 1 else none
    if items == 1:
        return of_rows, none
    return of_rows, np.sqrt(np.maximum(squares.item - (squares.rest if rows > 1 else none), 0.0) / (rows * items))


def half_widths(values: np.ndarray, level: float) -> Widths:
    """Of values [..., S, I]: `widths` of their `errors`."""
    return widths(*errors(values), values.shape[-2:], level)


def widths(of_rows: np.ndarray, of_items: np.ndarray, shape: tuple[int, ...], level: float) -> Widths:
    """Of standard errors and (S, I). Each part of the variance has the Student quantile of its own number of rows or
    items,

        half^2 = t(S - 1)^2 MS_row / (S I) + t(I - 1)^2 max(0, MS_item - MS_rest) / (S I),

    so it is never narrower than the interval over rows alone (`item` = 0), which it is where items do not differ.
    """
    row, item = (
        error * (_quantile(n, 1 - level) if n > 1 else 0.0) for error, n in zip((of_rows, of_items), shape, strict=True)
    )
    return Widths(row, item, np.hypot(row, item))


def p_values(mean: np.ndarray, of_rows: np.ndarray, of_items: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Two-sided, of a mean being 0, with its standard errors: one minus the level whose interval ends there.

    1 where nothing varies. From 1e-12 on they are exact to six digits.
    """
    size, (rows, items) = np.abs(mean), shape
    low, high = np.full(size.shape, np.log(SMALLEST)), np.zeros(size.shape)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        alpha = np.exp(middle)
        half = np.hypot(
            of_rows * (_quantile(rows, alpha) if rows > 1 else 0.0),
            of_items * (_quantile(items, alpha) if items > 1 else 0.0),
        )
        low, high = np.where(half > size, middle, low), np.where(half > size, high, middle)
    found: np.ndarray = np.where(of_rows + of_items > NO_ERROR, np.exp(high), 1.0)
    return found


class Pairs:
    """Standard errors of the differences of each two of k layouts [k, S, I], S > 1, by sums that are made once.

    The mean squares of a difference follow from sums of squares and of products; a thousand layouts are compared with
    each other in the time that hundred take one by one.
    """

    def __init__(self, values: np.ndarray) -> None:
        k, rows, items = values.shape
        self._mean = values.mean(axis=(1, 2))
        centred = values - self._mean[:, None, None]
        self._row, self._item = centred.mean(axis=2), centred.mean(axis=1)
        self._flat = centred.reshape(k, -1)
        self._squares = np.einsum("ki,ki->k", self._flat, self._flat)
        self._shape = rows, items

    def behind(self, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of layout i less each one behind it: means, and standard errors as in `errors`."""
        rows, items = self._shape
        row = items * _squares(self._row[i] - self._row[i + 1 :], 1)
        item = rows * _squares(self._item[i] - self._item[i + 1 :], 1)
        whole = self._squares[i] + self._squares[i + 1 :] - 2 * (self._flat[i + 1 :] @ self._flat[i])
        of_rows = np.sqrt(row / ((rows - 1) * rows * items))
        if items == 1:
            return self._mean[i] - self._mean[i + 1 :], of_rows, np.zeros(len(of_rows))
        rest = np.maximum(whole - row - item, 0.0) / ((rows - 1) * (items - 1))
        of_items = np.sqrt(np.maximum(item / (items - 1) - rest, 0.0) / (rows * items))
        return self._mean[i] - self._mean[i + 1 :], of_rows, of_items


def _quantile(n: int, alpha: float | np.ndarray) -> np.ndarray:
    found: np.ndarray = stdtrit(n - 1, 1 - np.asarray(alpha) / 2)
    return found


def bootstrap(values: np.ndarray, level: float, seed: int = 0, resamples: int = 2000) -> tuple[float, float]:
    """Percentile interval of the mean of values [S, I]: rows and, on their own, items drawn with replacement.

    The pigeonhole bootstrap of Owen 2007. It assumes no distribution, and is worth reading from about 20 rows on.
    Layouts of one shape are resampled alike.
    """
    of_rows, of_items = _draws(*values.shape, seed, resamples)
    rows = of_items @ values.T  # each resample's mean of each row
    means = np.einsum("bs,bs->b", of_rows, rows)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return round(float(low), DIGITS), round(float(high), DIGITS)


@lru_cache(maxsize=2)
def _draws(rows: int, items: int, seed: int, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of each row and of each item in each resample: [resamples, rows], [resamples, items]."""
    rng = np.random.default_rng(seed)
    of_rows, of_items = (rng.multinomial(n, np.full(n, 1 / n), resamples) / n for n in (rows, items))
    return of_rows, of_items


class Parts(NamedTuple):
    """Standard deviations of what the score of one item in one run is made of.

    Where no set has a second run (`run` and `rest` None), `set` and `set_item` hold what runs add. `preparation` and
    `preparation_item`: of what several sets share, such as a trained generator; None where it was not varied.
    """

    set: float
    run: float | None  # runs of one set
    item: float
    set_item: float  # that a set helps with some items and not with others
    rest: float | None
    preparation: float | None = None
    preparation_item: float | None = None


class _Level(NamedTuple):
    """Mean squares of a nested layout: of its rows, and of rows x items; n: rows a group, the harmonic mean."""

    row: float = 0.0
    rest: float = 0.0
    n: float = 1.0

    @property
    def spread(self) -> float:
        """What rows add to the mean square of the groups' means, beside rows x items."""
        return (self.row - self.rest) / self.n


def parts(values: np.ndarray, sets: np.ndarray, preparations: np.ndarray | None = None) -> Parts | None:
    """Of values [n, I] of n runs; sets, preparations: the number of the set, and of the preparation, of each, int [n].

    None without two sets (or preparations) and two items. Runs are nested in sets, sets in preparations; items are
    crossed with all. The mean squares of the layout of set means [S, I], R runs each (unequal numbers: their harmonic
    mean), and of the runs inside sets have the expectations

        E[MS_set] = I sigma_set^2 + (I sigma_run^2 + sigma_rest^2) / R + sigma_set_item^2
        E[MS_item] = S sigma_item^2 + sigma_set_item^2 + sigma_rest^2 / R
        E[MS_set_item] = sigma_set_item^2 + sigma_rest^2 / R
        E[MS_run] = I sigma_run^2 + sigma_rest^2,  E[MS_rest] = sigma_rest^2

    With preparations, sets stand inside them as runs do inside sets, and the means of preparations in the place of S.
    """
    means, runs = _inside(values, sets)
    in_preparations, inner = None, runs or _Level()
    if preparations is not None:
        of_set = np.array([preparations[sets == name][0] for name in np.unique(sets)])
        means, in_preparations = _inside(means, of_set)
    n, items = means.shape
    if n < 2 or items < 2 or (preparations is not None and in_preparations is None):
        return None
    squares = mean_squares(means)
    outer = _Level(float(squares.row), float(squares.rest))
    of_sets = in_preparations or outer
    return Parts(
        set=_root((of_sets.row - of_sets.rest - inner.spread) / items),
        run=_root(inner.spread * inner.n / items) if runs else None,
        item=_root((float(squares.item) - outer.rest) / n),
        set_item=_root(of_sets.rest - inner.rest / inner.n),
        rest=math.sqrt(inner.rest) if runs else None,
        preparation=_root((outer.spread - in_preparations.spread) / items) if in_preparations else None,
        preparation_item=_root(outer.rest - in_preparations.rest / in_preparations.n) if in_preparations else None,
    )


def _inside(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, _Level | None]:
    """The groups' means [G, I], ascending, and the layout inside groups; None where no group has a second row."""
    names, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
    n, items = values.shape
    means = np.stack([values[place == number].mean(axis=0) for number in range(len(names))])
    free = n - len(names)
    if not free or items < 2:
        return means, None
    inside = values - means[place]
    of_row = inside.mean(axis=1)
    row = items * float(np.square(of_row).sum()) / free
    rest = float(np.square(inside - of_row[:, None]).sum()) / (free * (items - 1))
    return means, _Level(row, rest, len(counts) / (1 / counts).sum())


def _root(variance: float | np.ndarray) -> float:
    return math.sqrt(max(0.0, float(variance)))
