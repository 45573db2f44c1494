"""A generator that is not trained: a pretrained language model that goes on from a prompt of train rows of the class.

As a part it is the rows alone: the model is its asset, as it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from bench.api import Context, Part, TrainData, UserError
from bench.learners.causal.loading import load_base
from bench.learners.causal.model import CausalModel
from bench.learners.causal.plain import plain_ids
from bench.learners.causal.shared_prefix import SharedPrefix
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.parts import params_of
from methods.gen_distill.prompt import Prompt, prompt_rows
from methods.gen_distill.reports import write_json, write_part
from methods.gen_distill.template import Marks, check_vocabulary, no_text
from methods.making import one_by_one

_ROWS = "prompt.json"


class PromptedGenerator(CausalModel):
    """A language model with a prompt for each class, whose last token is the start of a text.

    Raises UserError when the tokenizer does not belong to the model, or loses line breaks, which end a text.
    """

    mend = "give it more room (max_tokens) or choose another generator"  # when too few sampled texts are valid

    def __init__(self, model: Any, tokenizer: Any, prompts: Sequence[Prompt], device: str) -> None:
        check_vocabulary(tokenizer, model.get_input_embeddings().weight.shape[0])
        super().__init__(model, device)
        self.tokenizer, self.prompts = tokenizer, tuple(prompts)
        self.ids = [self._prompt_ids(prompt.text) for prompt in prompts]
        for prompt, text in zip(prompts, self._texts(self.ids), strict=True):
            if text.count("\n") != prompt.text.count("\n"):
                raise UserError(
                    "the generator's tokenizer loses line breaks, which end a text: choose another generator"
                )
        self._shared: dict[int, SharedPrefix] = {}

    @cached_property
    def marks(self) -> Marks:
        """A text begins after its prompt and ends with the line of its last field, or with the end token.

        How many line breaks a token holds is looked up in its text: tokenizers merge them with each other and with
        what stands before them.
        """
        vocabulary, end = self.model.get_input_embeddings().weight.shape[0], self.tokenizer.eos_token_id
        banned = no_text(self.tokenizer, vocabulary) - {end}
        ends = np.zeros(vocabulary, dtype=np.int64)
        known = sorted(set(self.tokenizer.get_vocab().values()) - banned - {end})
        ends[known] = [text.count("\n") for text in self._texts([[i] for i in known])]
        needed = self.prompts[0].lines
        if end is not None:
            ends[end] = needed
        return Marks(tuple(int(ids[-1]) for ids in self.ids), tuple(sorted(banned)), ends, needed)

    def prefixes(self, classes: np.ndarray) -> list[tuple[np.ndarray, SharedPrefix]]:
        """Rows that may share a batch of sampling: those of a class, after its prompt."""
        return [(np.flatnonzero(classes == label), self._prefix(int(label))) for label in np.unique(classes)]

    def _prefix(self, label: int) -> SharedPrefix:
        if label not in self._shared:
            self._shared[label] = SharedPrefix(self, self.ids[label][:-1])
        return self._shared[label]

    def step(self, ids: Tensor, cache: Any, classes: Tensor) -> tuple[Tensor, Any]:
        """The next tokens ids [B, L] of B rows: logits float32 [B, V] of the last, cache."""
        return self.next_logits(ids, cache)

    def read(self, label: int, ids: np.ndarray) -> tuple[str, ...] | str:
        """The texts of a sampled sequence without its start token, or why it is none."""
        ended = bool(len(ids)) and int(ids[-1]) == self.tokenizer.eos_token_id
        return self.prompts[label].read(self._texts([ids])[0], ended)

    def longest(self, data: TrainData) -> int:
        """Tokens of the longest train text, start and end included, written as it would follow its prompt."""
        prompt = self.prompts[0]
        rows = zip(*(data.train.texts[name] for name in data.info.fields), strict=True)
        return 1 + max(map(len, plain_ids(self.tokenizer, [prompt.continued(row) for row in rows])))

    def _prompt_ids(self, text: str) -> np.ndarray:
        """int64 [n], after what the tokenizer sets before any text: without it some models write no sense."""
        ids = plain_ids(self.tokenizer, [text], special=True)[0]
        while ids[-1] in self.tokenizer.all_special_ids:  # a text that goes on has no end
            ids = ids[:-1]
        return np.array(ids, dtype=np.int64)

    def _texts(self, ids: Sequence[Sequence[int] | np.ndarray]) -> list[str]:
        found: list[str] = self.tokenizer.batch_decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return found


def make(parts: Sequence[Part], data: TrainData, ctx: Context) -> dict[int, Exception]:
    """Choose the rows of prompts; the error of each that failed, by its position."""
    return one_by_one(_make, parts, data, ctx)


def _make(part: Part, data: TrainData, ctx: Context) -> None:
    kind, fields, code = ctx.address(part)
    params = params_of(part)
    rows = prompt_rows(data, params.prompt_rows, params.generator_seed)
    generator = _prompted(rows, params, data, ctx)
    max_tokens = params.max_tokens or generator.longest(data)
    longest = max(map(len, generator.ids))
    if longest - 1 + max_tokens > generator.context:  # the last token of a prompt is the start of a text
        whose = "max_tokens" if params.max_tokens else "the longest train text"
        raise UserError(
            f"generator '{params.generator}' reads {generator.context} tokens, but the longest prompt has {longest} "
            f"and a text up to {max_tokens} ({whose}): choose a smaller max_tokens or prompt_rows"
        )
    facts = {
        "prompt, train rows a class": params.prompt_rows,
        "prompt, most tokens": longest,
        "prompt, most tokens of a text": max_tokens,
    }
    report = {
        "title": f"gen-distill prompts of {data.info.label}",
        "facts": facts,
        "texts": {
            f"prompt of {name}": prompt.examples
            for name, prompt in zip(data.info.label_names, generator.prompts, strict=True)
        },
    }

    def write(folder: Path) -> None:
        write_json(folder / _ROWS, {"rows": [own.tolist() for own in rows]})
        write_part(folder, report, max_tokens)

    ctx.artifact(kind, fields, write, code)


def load_prompted(folder: Path, params: GenDistillParams, data: TrainData, ctx: Context) -> PromptedGenerator:
    """The generator with the prompts of a finished part."""
    rows = json.loads((folder / _ROWS).read_text(encoding="utf-8"))["rows"]
    return _prompted([np.array(own) for own in rows], params, data, ctx)


def _prompted(rows: Sequence[np.ndarray], params: GenDistillParams, data: TrainData, ctx: Context) -> PromptedGenerator:
    model, tokenizer = load_base(params.generator, ctx)
    prompts = [
        Prompt(data.info, label, {name: [data.train.texts[name][row] for row in own] for name in data.info.fields})
        for label, own in enumerate(rows)
    ]
    return PromptedGenerator(model, tokenizer, prompts, ctx.device)
