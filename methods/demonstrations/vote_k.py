"""Fast vote-k, per class."""

from __future__ import annotations

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData, UserError
from methods.common import Pool, class_features, class_pools, rounded
from methods.demonstrations.params import VoteKParams
from methods.demonstrations.voting import fast_vote_k, nearest_rows
from methods.selection import distance_to_nearest


class VoteK(Method):
    """The greedy step of vote-k on the graph of nearest rows of each class."""

    params: VoteKParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Rows in the order of selection; diagnostic `covered`: rows selected or voting for one, as a share, by class.

        Raises UserError for a class in which `neighbours` leaves nobody out.
        """
        pools = class_pools(data, dpc)
        for pool in pools:
            self._check(pool, data.info.label)
        features = ctx.features("train", self.params.encoder, self.params.pooling, self.params.max_length)
        rows, distances, covered = [], [], []
        for done, pool in enumerate(pools):
            X = class_features(features, pool, self.params.normalize)
            nearest = nearest_rows(X, self.params.neighbours)
            picked = fast_vote_k(nearest, pool.dpc)
            voters = np.flatnonzero(np.isin(nearest, picked).any(axis=1))
            rows.append(pool.rows[picked])
            distances.append(rounded(distance_to_nearest(X, picked).mean()))
            covered.append(rounded(len(np.union1d(voters, picked)) / len(X)))
            ctx.progress(done + 1, len(pools), "vote-k")
        return DistilledSet.from_rows(data, np.concatenate(rows), mean_distance=distances, covered=covered)

    def _check(self, pool: Pool, task: str) -> None:
        """With n - 1 neighbours each row gets the same votes, and the lowest index would decide."""
        most = len(pool.rows) - 2
        if self.params.neighbours > most:
            raise UserError(
                f"class '{pool.name}' of task '{task}' has {len(pool.rows)} train rows: with "
                f"neighbours={self.params.neighbours} each row votes for all others, and votes tell nothing; "
                + (f"ask for vote-k[neighbours={most}] or less" if most > 0 else "take another method")
            )
