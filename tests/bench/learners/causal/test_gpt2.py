"""GPT-2 on real positions alone against transformers' own forward pass: the same digits, dropout and gradients too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM

from bench.learners.causal import gpt2
from bench.learners.linear import speed_up
from bench.learners.pretrained import own_rng

LENGTHS = {
    "ragged": [5, 17, 1, 24, 9, 23, 2, 24],
    "one text": [7],
    "one token": [1, 1],
    "no padding": [12, 12, 12],
    "a micro-batch": [20, 26, 31, 32, 14, 8, 29, 32] * 4,
    "many rows": [3, 30] * 40,
}


def model(dropout: float = 0.1, layers: int = 2) -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=301,
        n_layer=layers,
        n_embd=64,
        n_head=2,
        n_positions=32,
        activation_function="gelu_pytorch_tanh",
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        resid_pdrop=dropout,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.2,
    )
    with own_rng(3, "cpu"):
        found = GPT2LMHeadModel(config)
    speed_up(found)
    return found


def batch(lengths: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """ids and real [B, L], targets [n], and a weight of each token's loss [n]."""
    draw = torch.Generator().manual_seed(len(lengths))
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids = torch.randint(0, 301, real.shape, generator=draw) * real
    n = int(real.sum())
    return ids, real, torch.randint(0, 301, (n,), generator=draw), torch.rand(n, generator=draw)


def both_ways(net: GPT2LMHeadModel, lengths: list[int]) -> list[dict[str, Tensor]]:
    """Losses and all gradients, packed and by the model itself."""
    ids, real, targets, weights = batch(lengths)
    found = []
    for way in ("packed", "own"):
        net.zero_grad(set_to_none=True)
        with own_rng(11, "cpu"):
            if way == "packed":
                losses = gpt2.nll(gpt2.hidden(net, ids, real), net.lm_head.weight, targets)
            else:
                hidden = net.transformer(input_ids=ids, use_cache=False).last_hidden_state
                losses = functional.cross_entropy(net.lm_head(hidden[real]), targets, reduction="none")
            after = torch.rand(1)
        (losses * weights).sum().backward()
        gradients = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
        found.append({"losses": losses.detach(), "random numbers used": after, **gradients})
    return found


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", LENGTHS)
def test_the_digits_are_those_of_the_model_itself(case: str, training: bool) -> None:
    net = model().train(training)
    mine, own = both_ways(net, LENGTHS[case])
    assert mine.keys() == own.keys()
    assert len(mine) == 2 + len(list(net.parameters()))
    for name, tensor in own.items():
        assert (mine[name] - tensor).abs().max() <= 2e-5 * tensor.abs().max(), name
    # Without dropout the model's own attention is another kernel, and oneDNN cuts sums over more rows into blocks.
    if training and max(LENGTHS[case]) * len(LENGTHS[case]) <= 1024:
        differing = [name for name, tensor in own.items() if not torch.equal(mine[name], tensor)]
        assert differing == []


def test_dropout_is_drawn() -> None:
    net = model().train()
    trained, _ = both_ways(net, LENGTHS["ragged"])
    net.eval()
    still, _ = both_ways(net, LENGTHS["ragged"])
    assert not torch.allclose(trained["losses"], still["losses"], rtol=1e-3)


def test_padding_is_never_read() -> None:
    net = model(dropout=0.0).eval()
    ids, real, targets, _ = batch(LENGTHS["ragged"])
    losses = gpt2.nll(gpt2.hidden(net, ids, real), net.lm_head.weight, targets)
    again = gpt2.nll(gpt2.hidden(net, ids.masked_fill(~real, 7), real), net.lm_head.weight, targets)
    assert torch.equal(losses, again)
    for row, start in ((1, 5), (3, 23)):  # each text alone
        n = LENGTHS["ragged"][row]
        alone = net(input_ids=ids[row : row + 1, :n]).logits[0]
        wanted = functional.cross_entropy(alone, targets[start : start + n], reduction="none")
        torch.testing.assert_close(losses[start : start + n], wanted, rtol=1e-4, atol=1e-5)


def test_what_can_be_packed(tiny_llama: Path) -> None:
    assert gpt2.can_pack(model())
    assert not gpt2.can_pack(model().double())
    assert not gpt2.can_pack(LlamaForCausalLM.from_pretrained(tiny_llama))
    eager = model()
    eager.config._attn_implementation = "eager"
    assert not gpt2.can_pack(eager)
