"""The most memory that was in use while a job ran: of its process, and on its GPU."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.store.record import Memory

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
FALL = "5"  # written there, it lets the high-water mark fall to what is resident now (Linux)
MARK = "VmHWM:"
STEP = 1_000_000  # bytes that the figures are multiples of: those behind differ from one time to the next


class Peak:
    """From `start` on. Libraries and what earlier jobs left in the process count: it is what a machine must have."""

    def __init__(self, device: str) -> None:
        self._gpu = device.partition(":")[0] == "cuda"
        self._told = False

    def start(self) -> None:
        """Forget what was in use before."""
        try:
            CLEAR.write_text(FALL)
        except OSError:  # another system, or one that refuses
            self._told = False
        else:
            self._told = True
        if torch := self._torch():
            torch.cuda.reset_peak_memory_stats()

    def read(self) -> Memory | None:
        """The peak since `start`; None before it, and where the system tells that of a whole process alone."""
        if not self._told:
            return None
        lines = STATUS.read_text().splitlines()
        kilobytes = next((int(line.split()[1]) for line in lines if line.startswith(MARK)), None)
        if kilobytes is None:
            return None
        torch = self._torch()
        gpu = _rounded(torch.cuda.max_memory_allocated()) if torch else None
        return Memory(process=_rounded(1024 * kilobytes), gpu=gpu)

    def _torch(self):  # type: ignore[no-untyped-def]  # a module, or None before somebody computes on the GPU
        torch = sys.modules.get("torch") if self._gpu else None
        return torch if torch is not None and torch.cuda.is_initialized() else None


def _rounded(size: int) -> int:
    return STEP * round(size / STEP)
