"""Where something was computed: versions and platform, which may matter for a figure beyond its identity."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

RECORDED_VERSIONS = ("distillation-bench", "torch", "transformers", "scikit-learn", "numpy")


def environment(device: str) -> dict[str, str]:
    """Names -> versions of what computes here on this type of device."""
    machine = f"{platform.system()} {platform.machine()}"
    found = {"python": platform.python_version(), "platform": machine, "device": device}
    for name in RECORDED_VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
