"""What the methods share: trainings of the learner, one part each. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import Part, UserError
from methods.scores.params import CheckpointParams

TRAINING = (
    *("learner", "learner_layers", "max_length", "pool_rows"),
    *("checkpoints", "steps", "batch", "learning_rate", "learner_seed"),
)


def parts(params: CheckpointParams, dpc: int | None = None, seed: int = 0) -> Sequence[Part]:
    """One training a run, the same for all sets, dpc and methods; more runs keep those that are there.

    Raises UserError where a class has fewer rows in the pool than a set shall have.
    """
    if dpc is not None and params.pool_rows is not None and params.pool_rows < dpc:
        raise UserError(f"pool_rows={params.pool_rows} is less than dpc {dpc}; raise it or ask for a smaller --dpc")
    shared = {name: getattr(params, name) for name in TRAINING}
    return [
        Part(
            kind="learner-checkpoints",
            fields={**shared, "run": run},
            make="methods.scores.training:make",
            assets=("learner",),
        )
        for run in range(params.runs)
    ]
