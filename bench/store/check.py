"""Records as they are read from disk: well formed, and with the score that their predictions have."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from bench.api import Metric
from bench.errors import UserError
from bench.store.files import read_json
from bench.store.identity import SCHEMA

if TYPE_CHECKING:
    import numpy as np

Record = dict[str, Any]

STATUSES = frozenset({"ok", "failed", "timeout", "oom", "not_applicable", "not_run"})
LEAGUES = frozenset({"A", "B", "C"})
DTYPES = {"uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8}  # of stored predictions -> bytes each
SAME = 1e-9  # one prediction more or less changes a score by more than this

NONE = type(None)
NUMBER = (int, float)
PLUGIN: dict[str, tuple[type, ...]] = {"name": (str,), "label": (str,), "params": (dict,)}
SHAPE: dict[str, tuple[type, ...]] = {
    "key": (str,),
    "status": (str,),
    "reason": (str, NONE),
    "cell": (str,),
    "suite": (str,),
    "task": (dict,),
    "method": (dict,),
    "student": (dict,),
    "dpc": (int, NONE),
    "set": (int,),
    "run": (int,),
    "seed": (dict,),
    "set_key": (str,),
    "league": (str, NONE),
    "metric": (str, NONE),
    "score": (*NUMBER, NONE),
    "metrics": (dict,),
    "n_train": (int, NONE),
    "predictions": (dict, NONE),
    "time": (dict,),
    "environment": (dict,),
}
OPTIONAL: dict[str, tuple[type, ...]] = {"set_digest": (str, NONE), "near_test": (int, NONE)}  # null in older records
MADE_OF: dict[str, tuple[type, ...]] = {"kind": (str,), "key": (str,), "seconds": (*NUMBER, NONE)}
PARTS: dict[str, dict[str, tuple[type, ...]]] = {
    "task": {**PLUGIN, "revision": (str,)},
    "method": PLUGIN,
    "student": PLUGIN,
    "seed": {"base": (int,), "set": (int,), "run": (int,)},
    "time": {"finished": (str,), "distil_s": (*NUMBER, NONE), "student_s": NUMBER},
}


def parse_record(line: bytes) -> Record:
    """The record of one line. Raises ValueError with the reason, in a few words, when it is no whole record."""
    try:
        record = STRICT.decode(line.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except json.JSONDecodeError:
        raise ValueError("not JSON") from None
    if type(record) is not dict:
        raise ValueError("no JSON object")
    if record.get("schema") != SCHEMA:
        raise ValueError(f"schema {record.get('schema')!r}, this bench reads {SCHEMA}")
    _check_types(record, SHAPE, "")
    for name, shape in PARTS.items():
        _check_types(record[name], shape, f"{name}.")
    _check_later_fields(record)
    _check_values(record)
    if record.pop(SEAL, None) is not None and not _is_sealed(line):
        raise ValueError("not as it was written: its own hash differs")
    return record


def sealed(line: bytes) -> bytes:
    """A record's JSON object with the SHA-256 of itself as its last member."""
    return line[:-1] + SEAL_MEMBER % hashlib.sha256(line).hexdigest().encode()


def _is_sealed(line: bytes) -> bool:
    body = line[: -len(SEAL_MEMBER % bytes(64))] + b"}"
    return sealed(body) == line


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no number")


SEAL = "sha256"
SEAL_MEMBER = b',"sha256":"%s"}'  # records of before have none
STRICT = json.JSONDecoder(parse_constant=_refuse_constant)


def _check_types(found: Mapping[str, Any], shape: Mapping[str, tuple[type, ...]], prefix: str) -> None:
    for name, kinds in shape.items():
        if name not in found:
            raise ValueError(f"no '{prefix}{name}'")
        if type(found[name]) not in kinds:
            raise ValueError(f"'{prefix}{name}' is {_shown(found[name])}")


def _check_later_fields(record: Record) -> None:
    """What records have had since some time after the first of this schema."""
    _check_types({name: record.get(name) for name in OPTIONAL}, OPTIONAL, "")
    _check_types({"key": record["student"].get("key")}, {"key": (str, NONE)}, "student.")
    parts = record["time"].get("made_of")
    _check_types({"made_of": parts}, {"made_of": (list, NONE)}, "time.")
    for part in parts or ():
        if type(part) is not dict:
            raise ValueError(f"'time.made_of' has {_shown(part)}")
        _check_types(part, MADE_OF, "time.made_of.")
        if not 0 <= (part["seconds"] or 0) < math.inf:
            raise ValueError(f"'time.made_of.seconds' is {part['seconds']}")
    if (record.get("near_test") or 0) < 0:
        raise ValueError(f"'near_test' is {record['near_test']}")


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _check_values(record: Record) -> None:
    status, dpc = record["status"], record["dpc"]
    if status not in STATUSES:
        raise ValueError(f"'status' is {_shown(status)}")
    if dpc is not None and dpc < 1:
        raise ValueError(f"'dpc' is {dpc}")
    for name in ("set", "run"):
        if record[name] < 0:
            raise ValueError(f"'{name}' is {record[name]}")
    for name in ("distil_s", "student_s"):
        if not 0 <= (record["time"][name] or 0) < math.inf:
            raise ValueError(f"'time.{name}' is {record['time'][name]}")
    for name, value in record["metrics"].items():
        if type(value) not in NUMBER or not 0 <= value <= 1:
            raise ValueError(f"'metrics.{name}' is {_shown(value)}, not in 0..1")
    if status == "ok":
        _check_result(record)
    elif record["score"] is not None or record["predictions"] is not None:
        raise ValueError(f"a score or predictions, but status {status}")


def _check_result(record: Record) -> None:
    if record["league"] not in LEAGUES:
        raise ValueError(f"'league' is {_shown(record['league'])}")
    metric, score = record["metric"], record["score"]
    if metric not in get_args(Metric):
        raise ValueError(f"'metric' is {_shown(metric)}")
    if score is None or not 0 <= score <= 1:
        raise ValueError(f"'score' is {_shown(score)}, not in 0..1")
    if record["metrics"].get(metric) != score:
        raise ValueError(f"score {score}, but {metric} {_shown(record['metrics'].get(metric))}")
    if record["predictions"] is None:
        raise ValueError("no predictions")


def decode(stored: Mapping[str, Any]) -> np.ndarray:
    """Stored predictions as int64 [n]. Raises ValueError when they are damaged."""
    import numpy as np

    n, dtype, data = (stored.get(name) for name in ("n", "dtype", "data"))
    if type(n) is not int or not 0 <= n < 1 << 40 or dtype not in DTYPES or type(data) is not str:
        raise ValueError("'predictions' without their length, type or data")
    size = n * DTYPES[dtype]
    try:
        stream = zlib.decompressobj()
        raw = stream.decompress(base64.b64decode(data, validate=True), size + 1)
    except (binascii.Error, zlib.error, ValueError):
        raise ValueError("'predictions' cannot be decoded") from None
    if len(raw) != size or not (stream.eof or size == 0):
        raise ValueError(f"'predictions' do not hold {n} labels")
    return np.frombuffer(raw, dtype=dtype).astype(np.int64)


class GoldLabels:
    """The gold labels of a folder of task descriptions (`results/tasks`), each file read and checked once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[np.ndarray, int, str]] = {}

    def path(self, revision: str) -> Path:
        return self.folder / f"{revision}.json"

    def of(self, revision: str) -> tuple[np.ndarray, int, str] | None:
        """Gold labels int64 [n], number of classes and metric of a task revision; None without its file.

        Raises UserError when the file contradicts itself.
        """
        if revision not in self._known:
            if not self.path(revision).is_file():
                return None
            try:
                self._known[revision] = _read_gold(read_json(self.path(revision)))
            except (ValueError, OverflowError) as error:
                raise UserError(f"{self.path(revision)} is damaged ({error}): {REWRITE}") from None
        return self._known[revision]


REWRITE = "delete it and run the same `bench run` again to write it anew"


def _read_gold(task: Any) -> tuple[np.ndarray, int, str]:
    import numpy as np

    if type(task) is not dict:
        raise ValueError("no JSON object")
    kinds: dict[str, tuple[type, ...]] = {"label_names": (list,), "test_labels": (list,), "metric": (str,)}
    _check_types(task, {**kinds, "n_test": (int,)}, "")
    labels, n_classes = task["test_labels"], len(task["label_names"])
    if any(type(name) is not str for name in task["label_names"]):
        raise ValueError("a label name that is no text")
    wrong = next((label for label in labels if type(label) is not int or not 0 <= label < n_classes), None)
    if wrong is not None:
        raise ValueError(f"gold label {_shown(wrong)}, not in 0..{n_classes - 1}")
    if len(labels) != task["n_test"]:
        raise ValueError(f"{len(labels)} gold labels, but {task['n_test']} test rows")
    return np.array(labels, dtype=np.int64), n_classes, task["metric"]


def rescored(record: Record, gold: GoldLabels, code: str) -> dict[str, float] | None:
    """Today's metrics of a finished record when they are not the stored ones, because the metrics' code changed.

    code: the digest of today's code; a record without one must have the score that today's code gives.

    None: the stored ones hold, or there is nothing to compare with. Raises ValueError with the reason when the
    predictions are damaged, or when they contradict the score and no change of the code explains it.
    """
    known = gold.of(record["task"]["revision"])
    if record["status"] != "ok" or known is None:
        return None
    labels, n_classes, metric = known
    predicted = decode(record["predictions"])
    if len(predicted) != len(labels):
        raise ValueError(f"{len(predicted)} predictions, but {len(labels)} gold labels{_by(record, gold)}")
    if predicted.max(initial=0) >= n_classes:
        raise ValueError(f"it predicts the label {predicted.max()}, not in 0..{n_classes - 1}")
    if record["metric"] != metric:
        raise ValueError(f"metric {record['metric']}, but {metric}{_by(record, gold)}")
    changed = (record.get("metrics_code") or code) != code
    if not changed and _same(record["metrics"], quick_scores(record["metric"], labels, predicted)):
        return None
    from bench import metrics

    now = metrics.score(record["metric"], labels, predicted)
    if _same(record["metrics"], now):
        return None
    if not changed:
        raise ValueError(f"score {record['score']}, but its predictions give {now[metric]}{_by(record, gold)}")
    return now


def _by(record: Record, gold: GoldLabels) -> str:
    return f" by {gold.path(record['task']['revision'])}"


def quick_scores(metric: str, gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """What `bench.metrics.score` gives, in a hundredth of its time: good enough to find that a score holds."""
    import numpy as np

    hits = gold == predicted
    accuracy = int(np.count_nonzero(hits)) / max(len(gold), 1)
    if metric == "accuracy":
        return {"accuracy": accuracy}
    positives = int((gold == 1).sum()) + int((predicted == 1).sum())
    f1 = 2 * int((hits & (gold == 1)).sum()) / positives if positives else 0.0
    return {"accuracy": accuracy, "f1": f1, "accuracy_f1": (accuracy + f1) / 2}


def _same(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return one.keys() == other.keys() and all(abs(one[name] - other[name]) < SAME for name in one)
