"""What the texts of a finished part are sampled from."""

from __future__ import annotations

from pathlib import Path

from bench.api import Context, TrainData
from methods.gen_distill.generator import load_generator
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.prompted import load_prompted
from methods.gen_distill.sampling import Source


def load_source(folder: Path, params: GenDistillParams, data: TrainData, ctx: Context) -> Source:
    """The generator in the folder of a part that these parameters name."""
    if params.start == "prompt":
        return load_prompted(folder, params, data, ctx)
    return load_generator(folder, ctx.device)
