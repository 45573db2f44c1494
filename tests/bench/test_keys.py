"""Which keys move when a source is edited: exactly those of what is computed with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALL = {"bbc", "rt", "random", "kcenters", "gen-distill", "probe", "minilm"}
PARTS = {"states", "teacher", "stage 1", "stage 2"}
METHODS, STUDENTS = {"random", "kcenters", "gen-distill"}, {"probe", "minilm"}
ENCODED = {"kcenters", "gen-distill", "probe", "minilm", "features"}  # that read texts with an encoder

# file, what stands there, what is to stand there, the keys that move
EDITS = [
    ("methods/kcenters.py", '"""K-centers of DiLM: k-means medoids per class."""', '"""Reworded."""  # why', set()),
    ("methods/params.py", "description=", "description='Other words.' or ", set()),
    ("methods/kcenters.py", "filled += picked.filled", "filled += 0", {"kcenters"}),
    (
        "methods/selection.py",
        "chosen = X[selected].astype(np.float64)",
        "chosen = X[selected]",
        {"kcenters", "gen-distill", "teacher", "stage 2"},
    ),
    ("methods/common.py", "if dpc is None or dpc < 1", "if dpc is None or dpc < 2", METHODS | {"teacher", "stage 2"}),
    ("methods/gen_distill/finetune.py", "import math", "import math as math", {"gen-distill", "stage 2"}),
    ("methods/gen_distill/lm.py", "import math", "import math as math", {"gen-distill", "stage 1", "stage 2"}),
    ("methods/gen_distill/diagnostics.py", "SHOWN = 5", "SHOWN = 6", {"gen-distill"}),
    ("methods/gen_distill/prompt.py", "import math", "import math as math", {"gen-distill"}),
    ("bench/data/encoders.py", "TOKENIZE_ROWS = 8192", "TOKENIZE_ROWS = 8", ENCODED | PARTS),
    ("bench/data/features.py", "1024", "512", ENCODED - {"minilm"} | {"teacher", "stage 2"}),
    ("bench/data/batching.py", "import numpy as np", "import numpy as np  # why", set()),
    ("bench/data/batching.py", "max(1, int(", "max(2, int(", ENCODED | PARTS),
    ("bench/data/onednn.py", "x @ weight.T + bias", "bias + x @ weight.T", ENCODED | PARTS),
    ("bench/learners/recipe.py", "import math", "import math as math", {"gen-distill", "minilm", "stage 2"}),
    ("bench/learners/train.py", "import math", "import math as math", {"gen-distill", "minilm", "stage 1", "stage 2"}),
    ("bench/learners/layers.py", "import math", "import math as math", {"gen-distill", "minilm", "states", "stage 2"}),
    ("bench/metrics.py", "/ 2}", "/ 3}", {"metrics"}),
    ("bench/api.py", 'kind="stable"', 'kind="heapsort"', METHODS),
    ("bench/api.py", "np.flatnonzero(", "np.flatnonzero(1 * ", METHODS | PARTS),
    ("bench/api.py", "licence: str", "licence: str = ''", set()),
    ("bench/seeds.py", "digest()[:4]", "digest()[4:8]", ALL | PARTS),
    ("bench/work/context.py", "seeds.derive(self.seed", "seeds.derive(1, self.seed", ALL | PARTS),
    ("bench/work/context.py", 'derive("part"', 'derive("parts"', {"gen-distill", *PARTS}),
    (
        "bench/work/context.py",
        "tuple(texts), max_length",
        "tuple(texts), 2 * max_length",
        ENCODED - {"minilm"} | {"teacher", "stage 2"},
    ),
    ("bench/store/sets.py", "rows[0]", "rows[-1]", STUDENTS),
    ("bench/store/embeddings.py", "np.ascontiguousarray(", "np.asarray(", METHODS | STUDENTS | PARTS),
    ("bench/store/embeddings.py", 'WHOLE = frozenset({"step_sizes"})', "WHOLE = frozenset()", set()),
    ("bench/api.py", "layer: int = 0", "layer: int = 1", METHODS),
    ("bench/runner.py", "import Counter", "import Counter as Counter", set()),
    ("tasks/articles.py", "import re", "import re as re", {"bbc"}),
]
SCRIPT = """
import json, sys
from pathlib import Path
from bench import identities
from bench.store import code
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.parts import parts

TARGETS = {"bbc": ("tasks.bbc", "task"), "rt": ("tasks.rt", "task"), "random": ("methods.random_", "method"),
    "kcenters": ("methods.kcenters", "method"), "gen-distill": ("methods.gen_distill.method", "method"),
    "probe": ("students.probe", "student"), "minilm": ("students.encoder", "student"),
    "states": ("bench.learners.frozen", None), "teacher": ("methods.gen_distill.teacher", None),
    "stage 1": ("methods.gen_distill.stage1", None), "stage 2": ("methods.gen_distill.stage2", None)}

def keys():
    code.forget()
    identities.engine_code.cache_clear(), identities.features_code.cache_clear()
    found = {name: identities.made_by(*target) for name, target in TARGETS.items()}
    made = {part.make.partition(":")[0] for part in parts(GenDistillParams())}  # which are in the key of a set too
    found["gen-distill"] |= {module: identities.made_by(module) for module in made}
    return found | {"features": identities.features_code(), "metrics": identities.metrics_code()}

assert Path(identities.__file__).is_relative_to(Path.cwd())
before, moved = keys(), []
for file, old, new in json.load(sys.stdin):
    path = Path(file)
    source = path.read_text()
    assert old in source, (file, old)
    path.write_text(source.replace(old, new, 1))
    after = keys()
    moved.append(sorted(name for name in before if after[name] != before[name]))
    path.write_text(source)
assert keys() == before
print(json.dumps(moved))
"""


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> list[set[str]]:
    """For each edit the keys that moved, in a copy of the sources."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("bench", "methods", "students", "tasks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    edits = json.dumps([edit[:3] for edit in EDITS])
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(
        command, cwd=folder, env=environment, input=edits, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [set(each) for each in json.loads(done.stdout)]


@pytest.mark.parametrize("number", range(len(EDITS)), ids=[f"{file}: {new}" for file, _, new, _ in EDITS])
def test_an_edit_moves_the_keys_of_what_is_computed_with_it(moved: list[set[str]], number: int) -> None:
    assert moved[number] == EDITS[number][3]
