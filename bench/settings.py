"""Where things are and what is allowed: everything that changes no result, so none of it enters a key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from bench.errors import UserError


@dataclass(frozen=True)
class Settings:
    """Picklable; sent to worker processes as it is."""

    cache: Path
    data_dir: Path | None = None
    offline: bool = False
    plugin_files: tuple[Path, ...] = ()

    @classmethod
    def make(
        cls,
        cache: str | Path | None = None,
        data_dir: str | Path | None = None,
        offline: bool = False,
        plugin_files: tuple[str | Path, ...] = (),
    ) -> Settings:
        """Fill in defaults: BENCH_CACHE or the user's cache folder; HF_HUB_OFFLINE means offline."""
        if data_dir and not Path(data_dir).expanduser().is_dir():
            raise UserError(f"--data-dir {data_dir}: no such folder")
        chosen = cache or os.environ.get("BENCH_CACHE") or platformdirs.user_cache_dir("distillation-bench", False)
        return cls(
            cache=Path(chosen).expanduser().absolute(),
            data_dir=Path(data_dir).expanduser().absolute() if data_dir else None,
            offline=offline or os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"},
            plugin_files=tuple(Path(file).expanduser().absolute() for file in plugin_files),
        )


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
