"""Predicted labels as records keep them: compressed text, which is read when somebody asks for the labels."""

from __future__ import annotations

import base64
import binascii
import zlib
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from bench.store.typed import typed

if TYPE_CHECKING:
    import numpy as np

MOST = 1 << 40  # predictions: what nobody could hold in memory is damage
LITTLE = {"uint8": "u1", "uint16": "<u2", "uint32": "<u4", "uint64": "<u8"}  # type of a label -> as it is stored


@typed
class Predictions:
    """`n` labels of type `dtype`, as base64 of their zlib-compressed little-endian bytes."""

    n: Annotated[int, Field(ge=0, lt=MOST)]
    dtype: Literal["uint8", "uint16", "uint32", "uint64"]
    data: str

    def labels(self) -> np.ndarray:
        """The labels, int64 [n]. Raises ValueError when they are damaged."""
        import numpy as np

        return self.raw().astype(np.int64)

    def raw(self) -> np.ndarray:
        """The labels in their stored type [n], read-only. Raises ValueError when they are damaged."""
        import numpy as np

        dtype = _stored(self.dtype)
        size = self.n * dtype.itemsize
        try:
            stream = zlib.decompressobj()
            found = stream.decompress(binascii.a2b_base64(self.data, strict_mode=True), size + 1)
        except (binascii.Error, zlib.error, ValueError):
            raise ValueError("'predictions' cannot be decoded") from None
        if len(found) != size or not (stream.eof or size == 0):
            raise ValueError(f"'predictions' do not hold {self.n} labels")
        return np.frombuffer(found, dtype=dtype)


@cache
def _stored(name: str) -> np.dtype:
    import numpy as np

    return np.dtype(LITTLE[name])


def encode(labels: np.ndarray) -> Predictions:
    """Predicted labels, int [n], in the smallest type that holds them."""
    import numpy as np

    small = np.asarray(labels).astype(np.min_scalar_type(int(np.max(labels, initial=0))))
    dtype: Any = small.dtype.name
    data = zlib.compress(small.astype(LITTLE[dtype]).tobytes(), 9)
    return Predictions(n=len(small), dtype=dtype, data=base64.b64encode(data).decode("ascii"))
