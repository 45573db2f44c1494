"""White box or black box: whether a set was made with a pretrained model that the student uses too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bench.store.record import Content, Models, PluginRef, Record

Box = Literal["white", "black", "none"]  # none: the method uses no pretrained model

EMBEDDED = "C"  # the league of what only the encoder that a set was made for can read
# What records without `models` may name: built-in assets, each with weights of its own, and the parameters that named
# them. This is how things were then, so nothing is ever added.
ASSETS = frozenset({"minilm", "bert-base", "roberta-base", "bert-large", "xlnet-base", "gpt2", "smollm2"})
BY_LEARNER = ("el2n", "grand", "moderate", "ccs", "grad-match")
BY_ENCODER = (
    *("kcenters", "kcenter-greedy", "herding", "best-of-random", "class-mean", "kmeans-centroid", "random-embedded"),
    *("kcenters-embedded", "tdd", "tdd-text", "dd", "random-soft", "kcenters-soft"),
)
GENERATED = ("gen-distill", "gen-distill-reference-compat")
METHODS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("random", "full"), ()),
    **dict.fromkeys(BY_ENCODER, ("encoder",)),
    **dict.fromkeys(BY_LEARNER, ("learner",)),
    **dict.fromkeys(GENERATED, ("encoder", "learner", "generator")),
}
STUDENTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("encoder", "bert-base", "roberta-base", "bert-large", "xlnet-base", "minilm"), ("model",)),
    "probe": ("encoder",),
}


def box(record: Record) -> Box | None:
    """Of one replicate; None when the record does not say, and it cannot be told from its parameters.

    Who reads vectors reads them as the encoder that they were made for: a white box.
    """
    if record.league == EMBEDDED:
        return "white"
    models = record.models or _named(record)
    return None if models is None else _compared(models)


def box_of(records: Sequence[Record]) -> Box | None:
    """Of the replicates of one cell: its key holds method and student, so what some of them say holds for all.

    Of sets made elsewhere the key holds the sets alone, and each of them has to say it.
    """
    alike = {(record.league, id(record.models), id(record.method), id(record.student)): record for record in records}
    found = {box(record) for record in alike.values()}
    if not any(record.models is not None and record.models.method is None for record in records):
        found.discard(None)
    return found.pop() if len(found) == 1 else None


def _compared(models: Models) -> Box | None:
    method = models.method or {}
    same = [
        _same(one, mine) for one in (*method.values(), *models.encoder.values()) for mine in models.student.values()
    ]
    if any(same) or method.keys() & models.student.keys():  # in one plan, one reference is one model
        return "white"
    if models.method is None or None in same:
        return None
    return "black" if method or models.encoder else "none"


def _same(one: Content, other: Content) -> bool | None:
    """Whether two models share weights; None when one of them was not there to be read."""
    return None if one is None or other is None else not set(one).isdisjoint(other)


def _named(record: Record) -> Models | None:
    """The models of a record from before they were noted, by the names of assets in its parameters."""
    method = _assets(record.method, METHODS)
    student = _assets(record.student, STUDENTS)
    if method is not None and (student is not None or not method):
        return Models(method=method, encoder={}, student=student or {})
    return None


def _assets(plugin: PluginRef, known: Mapping[str, tuple[str, ...]]) -> dict[str, Content] | None:
    """Reference -> the name that its content has, if it is one that means the same everywhere."""
    fields, params = known.get(plugin.name), plugin.params
    if fields is None or params.keys() == {"files"} or not set(fields) <= params.keys():
        return None  # another's plugin, or sets made elsewhere under its name
    refs = [str(params[name]) for name in fields if _used(name, params)]
    return {ref: (ref,) if ref in ASSETS else None for ref in refs}


def _used(name: str, params: Mapping[str, Any]) -> bool:
    """Whether a parameter's asset is read: gen-distill has no learner without stage 2, and may train its generator."""
    if name == "generator":
        return bool(params[name] != "scratch")
    return name != "learner" or params.get("finetune") is not False
