"""The method `longest`."""

from __future__ import annotations

from bench.api import Context, DistilledSet, Method, TrainData
from errand_bench.plugin import LongestParams


class Longest(Method):
    """Takes the `dpc` longest texts of each class; of equally long ones, the earlier row."""

    params: LongestParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Deterministic: the seed is not used."""
        chosen: list[int] = []
        for label in range(data.info.n_classes):
            chosen += sorted(
                (int(row) for row in data.class_rows(label)), key=lambda row: (-self._length(data, row), row)
            )[:dpc]
        return DistilledSet.from_rows(data, chosen, unit=self.params.unit)

    def _length(self, data: TrainData, row: int) -> int:
        texts = [data.train.texts[field][row] for field in data.info.fields]
        return sum(len(text.split()) if self.params.unit == "words" else len(text) for text in texts)
