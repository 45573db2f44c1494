"""The conformance kit: what every task, method and student must hold, checked on small real text.

    from bench.testing import check_method
    from my_package.plugin import bench_methods

    def test_conformance():
        for spec in bench_methods():
            check_method(spec)

Each check runs the real plugin in this process and raises ConformanceError (an AssertionError) with one line at
the first rule that is broken.
"""

from __future__ import annotations

from bench.testing.conformance import check_method, check_task
from bench.testing.encoder import build_tiny_encoder
from bench.testing.generator import build_tiny_generator
from bench.testing.guards import ConformanceError
from bench.testing.students import check_student
from bench.testing.texts import pair_task, topic_task

__all__ = [
    "ConformanceError",
    "build_tiny_encoder",
    "build_tiny_generator",
    "check_method",
    "check_student",
    "check_task",
    "pair_task",
    "topic_task",
]
