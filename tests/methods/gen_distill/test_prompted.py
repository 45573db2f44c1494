"""The generator that goes on from prompts: where texts end, what the model sees, what is kept and refused."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from bench.api import TrainData, UserError
from bench.data.encoders import load_tokenizer
from bench.data.overlap import copies
from bench.learners.causal.loading import load_model
from methods.gen_distill import diagnostics, sampling
from methods.gen_distill.method import GenDistill
from methods.gen_distill.parts import generator_part, parts
from methods.gen_distill.prompt import COPY, CUT, FORM, Prompt, one_line
from methods.gen_distill.prompted import PromptedGenerator, load_prompted, make
from methods.gen_distill.sampling import TRIES, draw, sample, uniforms
from methods.gen_distill.synthesis import draw_pools
from tests.methods.gen_distill.conftest import MakeContext, MakeParams, make_data
from tests.methods.gen_distill.test_sampling import same

MAX_TOKENS, WINDOW, MORE = 16, 16, 2.0
SPECIALS = ["<s>", "</s>", "<|turn|>"]


def build_tokenizer(folder: Path, merge: bool = True, marks: bool = False) -> Any:
    """Byte-level BPE; merge: across line breaks, as ".\\n" and "\\n\\n"; marks: <s> before a text and </s> after it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not merge)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=SPECIALS, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())
    )
    tokenizer.train_from_iterator(["won.\nlost.\nfirst: the match", "shares.\n\nsecond: the bank.\n\n"] * 9, trainer)
    if marks:
        ids = [(token, SPECIALS.index(token)) for token in ("<s>", "</s>")]
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ids)
    found = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    found.add_special_tokens({"additional_special_tokens": ["<|turn|>"]})
    found.save_pretrained(folder)
    return found


def build(folder: Path, architecture: str, positions: int = 512, **options: Any) -> Path:
    """A random model and its tokenizer; GPT-2 draws a token with a line break about every fourth time."""
    tokenizer = build_tokenizer(folder, **options)
    size: dict[str, Any] = {"vocab_size": len(tokenizer) + 3, "initializer_range": 0.2, "eos_token_id": 1}
    layers: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    layers |= {"num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": positions}
    layers |= {"bos_token_id": 0, "tie_word_embeddings": True}
    model: Any
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        if architecture == "gpt2":
            model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=32, n_head=4, n_positions=positions, **size))
        elif architecture == "llama":
            model = LlamaForCausalLM(LlamaConfig(**layers, **size))
        else:
            window = {"head_dim": 16, "sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
            model = Gemma3ForCausalLM(Gemma3TextConfig(**layers, **window, **size))
    if architecture == "gpt2":
        with torch.no_grad():
            breaks = [i for i in range(len(tokenizer)) if "\n" in tokenizer.decode([i])]
            model.transformer.wte.weight[breaks, 0] = 1.0
            model.transformer.ln_f.bias[0] = 2.0
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: build(tmp_path_factory.mktemp(kind), kind) for kind in ("gpt2", "llama", "gemma3")}


def prompted(folder: Path, data: TrainData, n: int = 4) -> PromptedGenerator:
    """A generator of that folder with the first n rows of each class as examples."""
    prompts = []
    for label in range(data.info.n_classes):
        rows = np.flatnonzero(data.train.labels == label)[:n]
        prompts.append(Prompt(data.info, label, {f: [data.train.texts[f][r] for r in rows] for f in data.info.fields}))
    return PromptedGenerator(load_model(folder, "test"), load_tokenizer(folder), prompts, "cpu")


def prefer_breaks(generator: PromptedGenerator, more: float) -> None:
    """Add to the logits of all tokens that hold a line break or end the text."""
    original, breaks = generator.step, torch.from_numpy(generator.marks.ends > 0)

    def step(*args: Any) -> Any:
        logits, cache = original(*args)
        return logits + more * breaks, cache

    generator.step = step  # type: ignore[method-assign]


@pytest.fixture(params=["gpt2", "llama", "gemma3"])
def generator(request: pytest.FixtureRequest, folders: dict[str, Path], train_data: TrainData) -> PromptedGenerator:
    found = prompted(folders[request.param], train_data)
    assert min(map(len, found.ids)) > 2 * WINDOW
    assert len({len(ids) for ids in found.ids}) == 3  # prompts of different lengths in one call
    if request.param != "gpt2":
        prefer_breaks(found, MORE)
    return found


# -- where a text ends


def test_line_breaks_are_found_in_merged_tokens(folders: dict[str, Path], train_data: TrainData) -> None:
    generator = prompted(folders["gpt2"], train_data)
    tokenizer, ends = generator.tokenizer, generator.marks.ends
    tokens = [tokenizer.decode([i]) for i in range(len(tokenizer))]
    assert any(token.endswith(".\n") for token in tokens)
    assert any(token.endswith("\n\n") for token in tokens)
    rng = random.Random(0)
    for _ in range(200):
        text = "".join(rng.choices(["won", ".", "\n", "é", " ", "bank", "\n\n", "\r\n", "日"], k=12))
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert sum(ends[ids]) == text.count("\n")
    assert set(np.flatnonzero(ends)) == {i for i, token in enumerate(tokens) if "\n" in token} | {1}


def test_a_text_ends_with_its_line(generator: PromptedGenerator) -> None:
    rows = sample(generator, np.arange(60) % 3, max_tokens=4, top_p=1.0, seed=0)
    kinds = set()
    for number, row in enumerate(rows):
        texts = [generator.tokenizer.decode(row[1 : 1 + n], skip_special_tokens=False) for n in range(len(row))]
        over = ["\n" in text or text.endswith("</s>") for text in texts]
        assert not any(over[:-1])
        assert over[-1] or len(row) == 4
        assert not set(row[1:]) & set(generator.marks.banned)
        found = generator.read(number % 3, row[1:])
        first = one_line(texts[-1].split("\n")[0].removesuffix("</s>"))
        if not over[-1]:
            assert found == CUT
        elif isinstance(found, tuple):
            assert found == (first,)
        else:
            assert first == ""
        kinds.add(type(found) if isinstance(found, tuple) else found)
    assert {tuple, CUT} <= kinds


def test_a_pair_ends_with_its_second_line(folders: dict[str, Path], pair_data: TrainData) -> None:
    generator = prompted(folders["gpt2"], pair_data)
    tokenizer = generator.tokenizer
    assert generator.marks.needed == 2

    def written(text: str, *more: int) -> np.ndarray:
        return np.array([*tokenizer(text, add_special_tokens=False)["input_ids"], *more], dtype=np.int32)

    assert generator.read(0, written(" the match\nsecond: a bank.\n\n")) == ("the match", "a bank.")
    assert generator.read(0, written(" the match\nsecond: a bank.", 1)) == ("the match", "a bank.")
    assert generator.read(0, written(" the match\nsecond: a bank.")) == CUT
    assert generator.read(0, written(" the match", 1)) == FORM
    row = [pair_data.train.texts[name][0] for name in ("first", "second")]
    assert generator.read(0, written(generator.prompts[0].continued(row))) == COPY
    assert generator.read(1, written(generator.prompts[0].continued(row))) == tuple(row)
    for row_ in sample(generator, np.zeros(40, dtype=np.int64), max_tokens=MAX_TOKENS, top_p=1.0, seed=0):
        counts = np.cumsum(generator.marks.ends[row_[1:]])
        assert (counts[:-1] < 2).all()
        assert counts[-1] >= 2 or len(row_) == MAX_TOKENS


# -- what the model sees


def test_a_row_equals_its_replay_of_whole_sequences(generator: PromptedGenerator) -> None:
    """No prefix, no cache, no batch: the prompt and the text before each token in transformers' own forward pass."""
    classes = np.array([2, 0, 1, 1, 0, 2, 2, 1])
    rows = sample(generator, classes, max_tokens=MAX_TOKENS, top_p=0.9, seed=11)
    banned, breaks = list(generator.marks.banned), torch.from_numpy(generator.marks.ends > 0)
    more = 0.0 if generator.model.config.model_type == "gpt2" else MORE
    for number, (label, row) in enumerate(zip(classes, rows, strict=True)):
        prompt = generator.ids[label]
        assert row[0] == prompt[-1]
        ids = torch.from_numpy(np.concatenate([prompt, row[1:]]))[None]
        with torch.no_grad():
            logits = generator.model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1] + more * breaks
        u = torch.from_numpy(uniforms(11, np.array([number]), (MAX_TOKENS - 1, TRIES + 1)))[0]
        replay = draw(logits.index_fill(1, torch.tensor(banned), -torch.inf), u[: len(row) - 1], 0.9)
        assert replay.tolist() == row[1:].tolist()


def test_rows_do_not_depend_on_batches(generator: PromptedGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = np.arange(12) % 3

    def rows(batch: int | None = None, leave: float = 1 / 8) -> list[np.ndarray]:
        monkeypatch.setattr(sampling, "LEAVE", leave)
        return sample(generator, classes, max_tokens=MAX_TOKENS, top_p=0.95, seed=4, batch=batch)

    expected = rows()
    assert len({len(row) for row in expected}) > 2
    assert same(rows(batch=1), expected)
    assert same(rows(batch=3), expected)  # 4 of a class
    assert same(rows(leave=1e-9), expected)
    assert same(rows(leave=2.0), expected)
    some = np.array([7, 2, 5])
    alone = sample(generator, classes[some], max_tokens=MAX_TOKENS, top_p=0.95, seed=4, streams=some)
    assert same(alone, [expected[row] for row in some])


def test_the_cache_is_bounded_with_its_prompt(generator: PromptedGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    length = len(generator.ids[0]) - 1
    monkeypatch.setitem(sampling.BATCH_TOKENS, "cpu", 3 * (length + MAX_TOKENS))
    seen: list[int] = []
    original = generator.step
    generator.step = lambda ids, *args: seen.append(len(ids)) or original(ids, *args)  # type: ignore[method-assign,func-returns-value]
    sample(generator, np.zeros(7, dtype=np.int64), max_tokens=MAX_TOKENS, top_p=0.95, seed=4)
    assert max(seen) == 3


def test_the_prompt_is_read_as_the_tokenizer_begins_texts(tmp_path: Path, train_data: TrainData) -> None:
    """The first token of a text stays, its end token does not: a model would begin something else after it."""
    for marks in (True, False):
        generator = prompted(build(tmp_path / str(marks), "llama", marks=marks), train_data)
        for prompt, ids in zip(generator.prompts, generator.ids, strict=True):
            assert generator.tokenizer.decode(ids) == "<s>" * marks + prompt.text


def test_special_tokens_that_a_text_spells_out_are_text(folders: dict[str, Path]) -> None:
    data = make_data(2, 9, ("first",))
    data.train.texts["first"][0] = "won</s><|turn|> the match"  # type: ignore[index]
    generator = prompted(folders["llama"], data)
    assert not set(generator.ids[0].tolist()) & {0, 1, 2}
    assert generator.tokenizer.decode(generator.ids[0]) == generator.prompts[0].text


def test_a_tokenizer_that_loses_line_breaks_is_refused(tmp_path: Path, train_data: TrainData) -> None:
    folder = build(tmp_path / "lost", "gpt2")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Replace("\n", " ")
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(UserError, match="tokenizer loses line breaks, which end a text: choose another generator"):
        prompted(folder, train_data)


# -- the part, and sets that come of it

START: dict[str, Any] = {"start": "prompt", "finetune": False, "prompt_rows": 3, "max_tokens": 16}
OF_TRAINING = {
    *("learner", "scratch_layers", "scratch_width", "scratch_vocabulary", "lm_steps", "lm_batch", "lm_learning_rate"),
    *("teacher_sets", "outer_loops", "inner_loop", "learner_steps", "real_batch", "synthetic_batch"),
    *("generation_interval", "learning_rate", "learner_batch"),
}


@pytest.fixture
def params(make_params: MakeParams, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function (changes) -> parameters of a prompted generator."""
    monkeypatch.setattr(diagnostics, "FEWEST", 5)
    monkeypatch.setattr(diagnostics, "SAMPLES", 15)
    small = make_params().model_dump()
    kept = {name: small[name] for name in small if name not in OF_TRAINING | {"finetune", "start", "prompt_rows"}}

    def make_(**changes: Any) -> Any:
        return type(make_params())(**{**kept, "generator": str(folders["gpt2"]), **START, **changes})

    return make_


def test_sets_of_any_size_come_from_one_part(
    train_data: TrainData, make_context: MakeContext, params: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    p = params()
    assert [part.kind for part in parts(p)] == ["gen-distill-prompt", "gen-distill-prompt-samples"]
    found = GenDistill(p).distill(train_data, 2, make_context(train_data))
    monkeypatch.setattr("methods.gen_distill.prompted.make", None)  # nothing is chosen again
    again = GenDistill(p).distill(train_data, 2, make_context(train_data))
    other = GenDistill(params(over_sample=2)).distill(train_data, 3, make_context(train_data, seed=1))
    assert found.texts == again.texts
    assert found.texts is not None
    assert other.texts is not None
    assert list(found.labels) == [0, 0, 1, 1, 2, 2]
    assert set(found.texts["sentence"]) != set(other.texts["sentence"])
    assert not copies(found.texts, train_data.train.texts).any()
    assert all("\n" not in text and text.strip() for text in found.texts["sentence"])
    assert found.diagnostics["drawn"] - found.diagnostics["invalid"] == 2 * p.over_sample * 3


def test_what_the_part_holds(train_data: TrainData, make_context: MakeContext, params: Any) -> None:
    ctx, p = make_context(train_data), params()
    folder = ctx.part(generator_part(p))
    assert {file.name for file in folder.iterdir()} >= {"prompt.json", "stage.json", "report.json"}
    assert not list(folder.rglob("*.safetensors"))
    rows = json.loads((folder / "prompt.json").read_text())["rows"]
    loaded = load_prompted(folder, p, train_data, ctx)
    report = json.loads((folder / "report.json").read_text())
    for label, own in enumerate(rows):
        assert len(set(own)) == 3
        assert (train_data.train.labels[own] == label).all()
        shown = [f"sentence: {train_data.train.texts['sentence'][row]}" for row in own]
        assert report["texts"][f"prompt of class {label}"] == loaded.prompts[label].examples == shown
    assert report["facts"]["prompt, most tokens"] == max(map(len, loaded.ids))


def test_reports_are_left(train_data: TrainData, make_context: MakeContext, params: Any) -> None:
    ctx = make_context(train_data)
    GenDistill(params()).distill(train_data, 1, ctx)
    found = {kind: ctx._artifacts.report(kind, key) for key, kind in ctx.reports.items() if kind.startswith("gen-")}
    assert set(found) == {"gen-distill-prompt", "gen-distill-prompt-samples"}
    samples = found["gen-distill-prompt-samples"]
    assert samples is not None
    assert samples["title"] == "samples of the gen-distill generator of tiny, from a prompt"
    facts = samples["facts"]
    reasons = [value for name, value in facts.items() if name.startswith("samples, invalid: ")]
    assert sum(reasons) == pytest.approx(facts["samples, invalid rate"], abs=1e-3)
    assert "samples, label agreement" in facts


@pytest.mark.parametrize(
    ("change", "equal"),
    [
        ({"over_sample": 7, "top_p": 0.9, "pooling": "mean"}, True),
        ({"prompt_rows": 2}, False),
        ({"generator_seed": 1}, False),
        ({"max_tokens": 17}, False),
    ],
)
def test_the_part_follows_its_parameters_alone(
    train_data: TrainData, make_context: MakeContext, params: Any, change: dict[str, Any], equal: bool
) -> None:
    ctx = make_context(train_data)
    assert (ctx.address(generator_part(params())) == ctx.address(generator_part(params(**change)))) == equal


def test_rows_do_not_hang_on_the_generator(
    train_data: TrainData, make_context: MakeContext, params: Any, folders: dict[str, Path]
) -> None:
    ctx = make_context(train_data)
    found = [ctx.part(generator_part(params(generator=str(folders[kind])))) for kind in ("llama", "gpt2")]
    assert found[0] != found[1]
    assert len({(folder / "prompt.json").read_text() for folder in found}) == 1


def test_validation_rows_are_in_no_prompt(train_data: TrainData, make_context: MakeContext, params: Any) -> None:
    folder = make_context(train_data).part(generator_part(params(prompt_rows=6)))
    shown = [text for own in json.loads((folder / "report.json").read_text())["texts"].values() for text in own]
    assert len(shown) == 18
    known = {f"sentence: {text}" for text in train_data.train.texts["sentence"]}
    assert set(shown) <= known


def test_the_longest_text(train_data: TrainData, pair_data: TrainData, folders: dict[str, Path]) -> None:
    for data in (train_data, pair_data):
        generator = prompted(folders["gpt2"], data)
        rows = list(zip(*(data.train.texts[name] for name in data.info.fields), strict=True))
        sizes = [len(generator.tokenizer(generator.prompts[0].continued(row))["input_ids"]) for row in rows]
        assert generator.longest(data) == max(sizes) + 1


def test_pools_hold_what_was_read(folders: dict[str, Path], train_data: TrainData, params: Any) -> None:
    generator = prompted(folders["gpt2"], train_data)
    pools = draw_pools(generator, train_data.info, {2: 9, 0: 12}, params(), max_tokens=MAX_TOKENS, seed=1)
    for pool in pools:
        assert pool.drawn == len(pool.sequences) + pool.invalid
        read = [generator.read(pool.label, sequence[1:]) for sequence in pool.sequences]
        assert read == [(text,) for text in pool.texts["sentence"]]
    (alone,) = draw_pools(generator, train_data.info, {0: 12}, params(), max_tokens=MAX_TOKENS, seed=1)
    assert alone.texts == pools[1].texts


def test_copies_of_the_prompt_are_drawn_again(folders: dict[str, Path], train_data: TrainData, params: Any) -> None:
    """A generator that copies a row of its prompt every other time, word for word."""
    generator = prompted(folders["gpt2"], train_data)
    plain = draw_pools(generator, train_data.info, {0: 6}, params(), max_tokens=MAX_TOKENS, seed=1)[0]
    fifth = plain.texts["sentence"][4]
    own = Prompt(train_data.info, 0, {"sentence": [*train_data.train.texts["sentence"][:9:3], fifth.upper()]})
    generator.prompts = (own, *generator.prompts[1:])  # the same model and tokens, another row that is known
    again = draw_pools(generator, train_data.info, {0: 5}, params(), max_tokens=MAX_TOKENS, seed=1)[0]
    assert again.refused[COPY] >= 1
    assert again.texts["sentence"] == [text for text in plain.texts["sentence"] if text.lower() != fifth.lower()][:5]


def test_mistakes_are_one_line(
    train_data: TrainData, make_context: MakeContext, params: Any, folders: dict[str, Path], tmp_path: Path
) -> None:
    short = str(build(tmp_path / "short", "gpt2", positions=100))
    cases = {
        r"reads 100 tokens, but the longest prompt has \d+ and a text up to 90 \(max_tokens\): choose a smaller": {
            "generator": short,
            "max_tokens": 90,
        },
        r"has 12 different train texts, fewer than prompt_rows=30: choose a smaller prompt_rows": {"prompt_rows": 30},
        r"too few valid texts of class '.*': 0 of \d+ draws of up to 4 tokens \(.*cut at max_tokens.*\); give it": {
            "generator": str(folders["llama"]),
            "max_tokens": 4,
            "top_p": 1e-6,
        },
    }
    for said, changes in cases.items():
        with pytest.raises(UserError, match=said) as caught:
            GenDistill(params(**changes)).distill(train_data, 1, make_context(train_data))
        assert "\n" not in str(caught.value)
    long = make_data(3, 12, ("sentence",))
    long.train.texts["sentence"][5] = "won the match " * 90  # type: ignore[index]
    with pytest.raises(UserError, match=r"and a text up to \d+ \(the longest train text\)"):
        GenDistill(params(generator=short, max_tokens=None)).distill(long, 1, make_context(long))


def test_one_part_that_fails_does_not_stop_another(
    train_data: TrainData, make_context: MakeContext, params: Any
) -> None:
    ctx = make_context(train_data)
    some = [generator_part(params(prompt_rows=30)), generator_part(params())]
    errors = make(some, train_data, ctx)
    assert list(errors) == [0]
    assert ctx.find(*ctx.address(some[1])) is not None
