"""Factors of the last layer from a forward pass, against autograd through the whole transformers model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from bench.api import UserError
from bench.learners.head import Head, errors, head_input, head_of, head_states
from bench.learners.pretrained import load_classifier, own_rng

C, LENGTHS = 3, (6, 9, 2, 9, 4)
COMMON: dict[str, Any] = {"vocab_size": 20, "num_labels": C, "pad_token_id": 0, "initializer_range": 0.3}
WIDE = {**COMMON, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
CONFIGS: dict[str, Any] = {
    "bert": lambda: transformers.BertConfig(**WIDE, max_position_embeddings=16),
    "roberta": lambda: transformers.RobertaConfig(**WIDE, max_position_embeddings=16),
    "xlm-roberta": lambda: transformers.XLMRobertaConfig(**WIDE, max_position_embeddings=16),
    "camembert": lambda: transformers.CamembertConfig(**WIDE, max_position_embeddings=16),
    "xlnet": lambda: transformers.XLNetConfig(**COMMON, d_model=16, n_layer=2, n_head=2, d_inner=24),
    "mpnet": lambda: transformers.MPNetConfig(**WIDE, max_position_embeddings=16),
    "gpt2": lambda: transformers.GPT2Config(**COMMON, n_embd=16, n_layer=2, n_head=2, n_positions=16),
}


Blocks = tuple[tuple[Tensor, Tensor], ...]


def gradient(blocks: Blocks, a: Tensor) -> list[Tensor]:
    """sum_i a_i U_i V_i^T for each linear map."""
    return [torch.einsum("n,np,nq->pq", a.to(U), U, V) for U, V in blocks]


def build(config: Any) -> Any:
    with own_rng(0, "cpu"):
        model = transformers.AutoModelForSequenceClassification.from_config(config).double()
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                nn.init.normal_(parameter)
    return model


def inputs_of(model: Any) -> dict[str, Tensor]:
    """Random texts of different lengths, padded where the architecture pads."""
    with own_rng(1, "cpu"):
        ids = torch.randint(3, 20, (len(LENGTHS), max(LENGTHS)))
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    if model.config.model_type == "xlnet":
        mask = mask.flip(1)
    return {"input_ids": ids * mask, "attention_mask": mask}


def own_factors(model: Any, inputs: dict[str, Tensor], labels: Tensor, seed: int | None) -> tuple[Tensor, Blocks]:
    """Logits and factors by way of the head alone; both draw the same masks."""
    found: list[Any] = []
    head, weights = head_of(model), dict(model.named_parameters())
    for compute in (partial(head.logits, weights), lambda x, drop: head.factors(weights, x, labels, drop)):
        model.train(seed is not None)
        with own_rng(seed or 0, "cpu"), torch.no_grad():
            x = head_input(model, model.base_model(**inputs), inputs["attention_mask"])
            found.append(compute(x, (lambda x, rate: x) if seed is None else functional.dropout))
    return found[0], found[1]


@pytest.mark.parametrize("seed", [None, 5], ids=["evaluation", "dropout"])
@pytest.mark.parametrize("kind", CONFIGS)
def test_factors_equal_autograd_through_the_model(kind: str, seed: int | None) -> None:
    """With dropout on, both passes draw from one stream: encoder first, head last."""
    model = build(CONFIGS[kind]())
    inputs, labels = inputs_of(model), torch.tensor([0, 1, 2, 0, 1])
    a = torch.softmax(torch.tensor([0.3, -1.0, 2.0, 0.0, 1.0], dtype=torch.float64), 0)
    logits, factors = own_factors(model, inputs, labels, seed)
    model.train(seed is not None)
    with own_rng(seed or 0, "cpu"):
        expected = model(**inputs).logits
    torch.testing.assert_close(logits, expected, atol=1e-10, rtol=0)
    loss = (a * functional.cross_entropy(expected, labels, reduction="none")).sum()
    head = head_of(model)
    maps = [model.get_submodule(name) for name in (head.dense, head.out) if name is not None]
    plain = gradient(own_factors(model, inputs, labels, None)[1], a)
    assert len(maps) == (1 if kind in {"bert", "gpt2"} else 2)
    for layer, mine, without in zip(maps, gradient(factors, a), plain, strict=True):
        parts = torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True)
        wanted = torch.cat([part.reshape(len(part), -1) for part in parts], 1)
        torch.testing.assert_close(mine, wanted, atol=1e-10, rtol=0)
        assert float(mine.abs().max()) > 1e-3
        assert seed is None or float((mine - without).abs().max()) > 1e-3


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_last_layer_is_what_training_starts_without(kind: str, tmp_path: Path) -> None:
    """The maps are those for which a folder with the published encoder has no weights."""
    model = build(CONFIGS[kind]()).float()
    model.base_model.save_pretrained(tmp_path)
    loaded, names = load_classifier(tmp_path, C, None)
    head = head_of(loaded)
    assert {head.dense, head.out} - {None} == {name.rsplit(".", 1)[0] for name in names}


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_head_reads_a_token_that_has_seen_the_text(kind: str) -> None:
    """[CLS] at its place, or the last token of a causal model: padding does not change it."""
    model = build(CONFIGS[kind]()).eval()
    inputs = inputs_of(model)
    with torch.no_grad():
        together = head_states(model, model.base_model(**inputs).last_hidden_state, inputs["attention_mask"])
        for row, length in enumerate(LENGTHS):
            kept = slice(-length, None) if kind == "xlnet" else slice(length)
            alone = {name: tensor[row : row + 1, kept] for name, tensor in inputs.items()}
            states = head_states(model, model.base_model(**alone).last_hidden_state, alone["attention_mask"])
            torch.testing.assert_close(states[0], together[row], atol=1e-9, rtol=0)
    assert float(together.std(0).min()) > 1e-3


def test_dropout_of_the_head_alone() -> None:
    """Masks as autograd sees them: rows of the two maps where an activation was dropped are zero."""
    with own_rng(0, "cpu"):
        head = Head("out", 0.5, "dense", 0.25)
        maps = nn.ModuleDict({"out": nn.Linear(8, C), "dense": nn.Linear(6, 8)}).double()
        x, labels = torch.randn(40, 6).double(), torch.randint(0, C, (40,))
    with own_rng(3, "cpu"):
        factors = head.factors(dict(maps.named_parameters()), x, labels, functional.dropout)
    with own_rng(3, "cpu"):
        read = functional.dropout(x, 0.25)
        kept = functional.dropout(torch.ones(40, 8).double(), 0.5)
    (back, first), (_, second) = factors
    assert torch.equal(first[:, :-1], read)
    assert torch.equal(second[:, :-1] == 0, kept == 0)
    assert torch.equal(back == 0, kept == 0)
    assert (first[:, -1] == 1).all()


def test_errors_stay_exact_where_the_learner_is_sure() -> None:
    """softmax - 1 in float32 has lost all digits there."""
    logits, labels = torch.tensor([[20.0, 0.0, 1.0], [0.5, 0.2, -0.3]]), torch.tensor([0, 2])
    exact = torch.softmax(logits.double(), 1) - functional.one_hot(labels, 3)
    torch.testing.assert_close(errors(logits, labels).double(), exact, rtol=1e-5, atol=0)
    two = errors(logits[:, :2], torch.tensor([0, 1]))
    assert torch.equal(two[:, 0], -two[:, 1])


def test_float32_agrees_with_float64() -> None:
    model = build(CONFIGS["roberta"]())
    inputs, labels, a = inputs_of(model), torch.tensor([0, 1, 2, 0, 1]), torch.full((5,), 0.2)
    double = gradient(own_factors(model, inputs, labels, None)[1], a)
    single = gradient(own_factors(model.float(), inputs, labels, None)[1], a)
    for mine, theirs in zip(single, double, strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine.double(), theirs, atol=1e-5, rtol=1e-4)


def test_other_architectures_are_one_line() -> None:
    small = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = build(transformers.ElectraConfig(**small, intermediate_size=8, embedding_size=8))
    with pytest.raises(UserError, match=r"type 'electra'.* bert, roberta, .*mpnet, xlnet, gpt2") as error:
        head_of(model)
    assert "\n" not in str(error.value)
    odd = build(transformers.XLNetConfig(**COMMON, d_model=16, n_layer=1, n_head=2, d_inner=24, summary_type="mean"))
    with pytest.raises(UserError, match="type 'xlnet'"):
        head_of(odd)
