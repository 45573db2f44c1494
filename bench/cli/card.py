"""The card of an exported set: what it is, where it came from, what it scored. Markdown that passes no markup on."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence

from bench.api import DistilledSet
from bench.store.portable import SUFFIX, has_arrays
from bench.store.record import Record, SetCard
from leaderboard.escape import code_span, plain_text

STEPS_SHOWN = 10


def identity_line(key: str) -> str:
    """The line of a card that tells whose it is."""
    return f"- identity of the set: {code_span(key)}"


def card(name: str, shown: SetCard, records: list[Record], names: Sequence[str], distilled: DistilledSet | None) -> str:
    """The card of a set in markdown, with the scores of its records. distilled: the whole set, None for texts alone."""
    first = records[0]
    lines = [
        f"# {name}",
        "",
        f"{shown.n} examples of the task {code_span(shown.task)}, made by the method {code_span(shown.method)}"
        + (f" with {shown.dpc} examples a class" if shown.dpc is not None else "")
        + f" (set {shown.set}, seed {shown.seed}).",
        "",
        *([f"- fields: {', '.join(map(code_span, shown.fields))}"] if shown.fields else []),
        f"- `label` is an index into {', '.join(map(code_span, names))}",
        f"- method parameters: {code_span(json.dumps(first.method.params, sort_keys=True))}",
        f"- task parameters: {code_span(json.dumps(first.task.params, sort_keys=True))}",
        identity_line(first.set_key),
        f"- seconds to make: {shown.seconds:.1f}",
    ]
    if shown.made_of:
        spent = ", ".join(f"{one.kind} {one.seconds:.1f}" for one in shown.made_of if one.seconds is not None)
        lines[-1] += f", and of what it shares with other sets: {spent}"
    if distilled is not None:
        lines += _arrays(name, distilled)
    students = ",".join(dict.fromkeys(record.student.label for record in records))
    again = f'bench score FOLDER --name {first.method.name}-again --tasks "{shown.task}" --students "{students}"'
    lines.append(f"- scored again, FOLDER being where these files are: {code_span(again)}")
    if shown.n_bytes is not None:
        lines.append(f"- bytes that a student reads of it: {shown.n_bytes:,}")
    if shown.chosen_on is not None:
        lines.append(f"- chosen on: {code_span(shown.chosen_on)}")
    if any("row" in row for row in shown.rows):
        lines.append(
            "- every example is a train row, copied word for word; `row` is its index in the task's train split "
            "(from 0, after splitting and caps), not a line number of the file that the data came from"
        )
    if shown.near_test is not None:
        lines.append(f"- examples that repeat a test text, nearly or word for word: {shown.near_test}")
    lines += ["", "Scores on the test split (nothing was chosen by them):", ""]
    by_student: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if record.score is not None:
            by_student[f"{record.student.label}, {record.metric}"].append(100 * record.score)
    for student, scores in by_student.items():
        lines.append(f"- {plain_text(student)}: {statistics.mean(scores):.1f} (mean of {len(scores)} runs)")
    lines += ["", "The texts keep the licence of the task's data (`bench info` names it).", ""]
    return "\n".join(lines)


def _arrays(name: str, distilled: DistilledSet) -> list[str]:
    """What a card says of soft labels and of the embedding level."""
    if not has_arrays(distilled):
        return []
    lines = [f"- what students train on, whole: {code_span(name + SUFFIX)}; the JSONL file beside it is a copy to read"]
    if distilled.soft_labels is not None:
        lines.append("- beside `label` each text has a soft label, a distribution over the classes")
    embeddings = distilled.embeddings
    if embeddings is None:
        return lines
    layer = "word embeddings" if embeddings.layer == 0 else f"hidden states, the input of layer {embeddings.layer}"
    n, positions, width = embeddings.inputs_embeds.shape
    lines += [
        f"- embedding level: {layer} of the encoder {code_span(embeddings.encoder)}; they fit this encoder alone",
        f"- {n} examples of {positions} positions of {width} numbers",
    ]
    if embeddings.trained_layers is not None:
        lines.append(f"- made for learners that train {embeddings.trained_layers} layers, from the top, and a head")
    if embeddings.step_sizes is not None:
        rates = ", ".join(f"{rate:.3g}" for rate in embeddings.step_sizes[:STEPS_SHOWN])
        more = ", ..." if len(embeddings.step_sizes) > STEPS_SHOWN else ""
        lines.append(f"- learned step sizes of {len(embeddings.step_sizes)} gradient steps: {rates}{more}")
    if embeddings.unrestricted:
        lines.append("- the targets are unrestricted numbers, not distributions")
    if embeddings.attention_labels is not None:
        lines.append(f"- attention labels, weighted by {embeddings.attention_weight:g} in the loss")
    if embeddings.head_seed is not None or embeddings.scratch:
        head = f"the head of seed {embeddings.head_seed}" if embeddings.head_seed is not None else "any head"
        lines.append(f"- made for {head}" + (" and layers that start at random" if embeddings.scratch else ""))
    if embeddings.nearest is not None:
        lines.append("- `nearest`: the text nearest to each example, only to look at: no student reads it")
    return lines
