"""The selection grammar: `kcenters[encoder=minilm,pooling=mean],random`, `all`, `all,-probe`, `table:PATH`."""

from __future__ import annotations

from dataclasses import dataclass

from bench.api import Params, Spec


@dataclass(frozen=True)
class Choice:
    """One selected plugin, its parameters validated and every default resolved."""

    spec: Spec
    params: Params
    label: str  # the name, and in brackets the parameters that differ from the suite's defaults
