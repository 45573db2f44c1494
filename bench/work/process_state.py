"""What a plugin may not leave changed in a worker: global generators, threads, dtypes, environment and the like.

A worker serves many jobs, so anything global that one of them leaves behind could move the numbers of the next. Every
part is read when the worker starts (for a library: when it is first seen loaded), and put back after each job.
"""

from __future__ import annotations

import contextlib
import locale
import os
import random
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

LIBRARY_VARIABLES = ("KMP_", "TORCHINDUCTOR_")  # set by scikit-learn and torch for themselves
DRAWS = "rich.style"  # draws from `random` when it is imported, as scikit-learn does with it
UNKNOWN = object()
SEED = 0  # where the global generators stand when a job starts, in every worker


@dataclass(frozen=True)
class _Part:
    """One global setting. `numeric`: it can move what the engine computes inside a job, such as features."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    fresh: Any = UNKNOWN  # what it is just after the library's import, for a library that a job imported
    numeric: bool = False
    start: Callable[[], object] | None = None  # brings it to where jobs start
    detail: Callable[[Any, Any], str] | None = None  # says more of what changed


class ProcessState:
    """Everything global of this process; `restore` says what is not as it was, and puts it back."""

    def __init__(self) -> None:
        self._threads = os.environ.get("OMP_NUM_THREADS", "")
        self._expected: dict[str, Any] = {}
        self._modules: set[str] = set()
        self._pools: list[_Part] = []
        self._searched: set[str] = set()  # the modules that were loaded when thread pools were looked for
        for part in self._parts():
            self._expect(part)
        self._modules = set(sys.modules)

    def accept(self, name: str) -> None:
        """Take one part as it is now for its rightful state."""
        self._expected[name] = next(part for part in self._parts() if part.name == name).read()

    def restore(self) -> list[str]:
        """Put everything back; the names of what had changed."""
        new = sys.modules.keys() - self._modules
        if {name.partition(".")[0] for name in new} - sys.stdlib_module_names - {"bench"}:
            self._absorb_imports()
        changed = []
        for part in self._parts():
            known = part.name in self._expected
            before, now = self._expected[part.name] if known else part.fresh, part.read()
            if before is not UNKNOWN and now != before:
                part.write(before)
                if not (part.name == RANDOM and DRAWS in new):
                    changed.append(part.detail(before, now) if part.detail else part.name)
            if not known:
                self._expect(part)
        self._modules = set(sys.modules)
        return changed

    @contextlib.contextmanager
    def engine(self) -> Iterator[None]:
        """For what the engine computes in the middle of a job: under its own settings, the plugin's come back after."""
        changed = []
        for part in self._parts():
            before = self._expected.get(part.name, part.fresh) if part.numeric else UNKNOWN
            if before is not UNKNOWN and (now := part.read()) != before:
                part.write(before)
                changed.append((part, now))
        try:
            yield
        finally:
            for part, now in changed:
                part.write(now)

    def _expect(self, part: _Part) -> None:
        if part.start is not None:
            part.start()
        self._expected[part.name] = part.read()

    def _absorb_imports(self) -> None:
        """What libraries set for themselves at import stays: their variables, and filters for a narrow warning."""
        variables = self._expected[ENVIRONMENT]
        for name, value in os.environ.items():
            if name.startswith(LIBRARY_VARIABLES):
                variables.setdefault(name, value)
        known = self._expected[FILTERS]
        added = [one for one in warnings.filters if one not in known and one[0] != "error"]
        narrow = [one for one in added if one[1] or one[3] or one[2].__module__ != "builtins"]
        self._expected[FILTERS] = [one for one in warnings.filters if one in known or one in narrow]

    def _parts(self) -> list[_Part]:
        parts = list(_COMMON)
        if "numpy" in sys.modules:
            parts += _numpy_parts()
        threads = int(self._threads) if self._threads.isdigit() else UNKNOWN
        if hasattr(sys.modules.get("torch"), "default_generator"):  # not when its import has failed
            parts += _torch_parts(threads)
        if "threadpoolctl" in sys.modules:
            if self._searched != sys.modules.keys():  # a search reads the process's map of memory: 7 ms
                self._pools, self._searched = _pool_parts(threads), set(sys.modules)
            parts += self._pools
        return parts


def _write_environment(value: dict[str, str]) -> None:
    for name in os.environ.keys() - value.keys():
        del os.environ[name]
    for name, text in value.items():
        if os.environ.get(name) != text:
            os.environ[name] = text


def _changed_variables(before: dict[str, str], now: dict[str, str]) -> str:
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return f"the environment ({', '.join(names[:5])}{' ...' if len(names) > 5 else ''})"


def _write_filters(value: list[Any]) -> None:
    warnings.resetwarnings()  # also forgets which warnings were shown
    warnings.filters.extend(value)  # type: ignore[attr-defined]


def _handlers() -> dict[int, Any]:
    found = {int(number): signal.getsignal(number) for number in signal.valid_signals()}
    return {number: handler for number, handler in found.items() if handler is not None}  # None: not set by Python


def _write_handlers(value: dict[int, Any]) -> None:
    for number, handler in value.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _flushes_denormals() -> bool:
    tiny = sys.float_info.min
    return tiny / 4 == 0


def _write_denormals(value: bool) -> None:
    import torch

    torch.set_flush_denormal(value)


ENVIRONMENT, FILTERS, RANDOM, PATH = "the environment", "the warnings filters", "random's global generator", "sys.path"
_COMMON = [
    _Part(
        ENVIRONMENT, lambda: dict(os.environ), _write_environment, numeric=True, detail=_changed_variables
    ),  # first, because libraries read it when they load
    _Part("the working directory", os.getcwd, os.chdir),
    _Part(PATH, lambda: list(sys.path), lambda value: sys.path.__setitem__(slice(None), value)),
    _Part(FILTERS, lambda: list(warnings.filters), _write_filters),
    _Part(RANDOM, random.getstate, random.setstate, start=lambda: random.seed(SEED)),
    _Part("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)),
    _Part("the signal handlers", _handlers, _write_handlers),
    _Part(
        "a timer",
        lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        lambda value: signal.setitimer(signal.ITIMER_REAL, 0),
    ),
    _Part("the default timeout of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
    _Part("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    _Part("sys.stdout", lambda: sys.stdout, lambda value: setattr(sys, "stdout", value)),
    _Part("sys.stderr", lambda: sys.stderr, lambda value: setattr(sys, "stderr", value)),
    _Part("the flushing of denormal numbers", _flushes_denormals, _write_denormals, numeric=True),
]


def _numpy_parts() -> list[_Part]:
    import numpy as np

    def read() -> tuple[Any, ...]:
        state: Any = np.random.get_state()
        return (state[0], state[1].tobytes(), *state[2:])

    def write(value: tuple[Any, ...]) -> None:
        name, key, *rest = value
        np.random.set_state((name, np.frombuffer(key, np.uint32), *rest))

    return [
        _Part("numpy's global generator", read, write, start=lambda: np.random.seed(SEED)),
        _Part("numpy's error handling", np.geterr, lambda value: np.seterr(**value), numeric=True),
        _Part("numpy's print options", np.get_printoptions, lambda value: np.set_printoptions(**value)),
    ]


def _pool_parts(threads: Any) -> list[_Part]:
    """The thread pools of BLAS and OpenMP, by file, where scikit-learn has brought threadpoolctl."""
    from threadpoolctl import ThreadpoolController

    def of(one: Any) -> _Part:
        name = f"the number of threads of {os.path.basename(one.filepath)}"
        return _Part(name, one.get_num_threads, one.set_num_threads, fresh=threads, numeric=True)

    return [of(one) for one in ThreadpoolController().lib_controllers]


def _torch_parts(threads: Any) -> list[_Part]:
    import torch

    generator = torch.default_generator

    def untouched() -> bytes:
        """The state that the generator was seeded to when torch was imported."""
        return bytes(torch.Generator().manual_seed(generator.initial_seed()).get_state().numpy())

    def write_generator(value: bytes) -> None:
        generator.set_state(torch.frombuffer(bytearray(value), dtype=torch.uint8))

    def write_deterministic(value: tuple[bool, bool]) -> None:
        torch.use_deterministic_algorithms(value[0], warn_only=value[1])

    def deterministic() -> tuple[bool, bool]:
        return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()

    parts = [
        _Part("torch's number of threads", torch.get_num_threads, torch.set_num_threads, fresh=threads, numeric=True),
        _Part(
            "torch's default dtype",
            torch.get_default_dtype,
            torch.set_default_dtype,
            fresh=torch.float32,
            numeric=True,
        ),
        _Part(
            "torch's default device",
            lambda: str(torch.get_default_device()),
            lambda value: torch.set_default_device(None if value == "cpu" else value),
            fresh="cpu",
        ),
        _Part("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled, fresh=True, numeric=True),
        _Part("torch's deterministic mode", deterministic, write_deterministic, fresh=(False, False), numeric=True),
        _Part(
            "torch's precision of matrix products",
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
            fresh="highest",
            numeric=True,
        ),
        _Part(
            "torch's global generator",
            lambda: bytes(generator.get_state().numpy()),
            write_generator,
            fresh=untouched(),
            start=lambda: generator.manual_seed(SEED),
        ),
    ]
    backends = torch.backends
    parts += [
        _switch("torch.backends.cudnn", backends.cudnn, "enabled", True),
        _switch("torch.backends.cudnn", backends.cudnn, "benchmark", False),
        _switch("torch.backends.cudnn", backends.cudnn, "deterministic", False),
        _switch("torch.backends.cudnn", backends.cudnn, "allow_tf32", True),
        _switch("torch.backends.cuda.matmul", backends.cuda.matmul, "allow_tf32", False),
        _switch("torch.backends.mkldnn", backends.mkldnn, "enabled", True),
    ]
    if torch.cuda.is_initialized():
        parts.append(
            _Part(
                "torch's global generators on CUDA",
                lambda: [bytes(state.numpy()) for state in torch.cuda.get_rng_state_all()],
                lambda value: torch.cuda.manual_seed_all(SEED),
                start=lambda: torch.cuda.manual_seed_all(SEED),
            )
        )
    return parts


def _switch(title: str, place: Any, name: str, fresh: bool) -> _Part:
    def write(value: bool) -> None:
        setattr(place, name, value)

    return _Part(f"{title}.{name}", lambda: getattr(place, name), write, fresh=fresh, numeric=True)
