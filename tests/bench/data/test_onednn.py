"""oneDNN products against PyTorch's own, and where they must keep out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from bench.data import onednn


@pytest.fixture
def avx512(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a CPU that gains by it; whether the operator is there is tried anew."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    onednn.available.cache_clear()
    onednn.faster.cache_clear()
    yield
    onednn.available.cache_clear()
    onednn.faster.cache_clear()


@pytest.mark.usefixtures("avx512")
@pytest.mark.parametrize("shape", [(1, 33), (7, 33), (2, 5, 33), (0, 33)])
@pytest.mark.parametrize("bias", [True, False])
def test_same_product_within_rounding(shape: tuple[int, ...], bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(33, 20, bias=bias)
    x = torch.randn(shape, generator=generator)
    with torch.inference_mode():
        expected = layer(x)
        got = onednn.speed_up(nn.Sequential(layer))(x)
    assert got.shape == expected.shape
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("avx512")
def test_only_plain_float32_layers_are_changed() -> None:
    class Own(nn.Linear):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * 2

    model = nn.ModuleList([nn.Linear(3, 3), Own(3, 3), nn.Linear(3, 3).double()])
    onednn.speed_up(model)
    assert ["forward" in vars(layer) for layer in model] == [True, False, False]


def test_a_cpu_without_avx512_keeps_pytorchs_product(avx512: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert onednn.available()
    assert not onednn.faster()
    assert "forward" not in vars(onednn.speed_up(nn.Sequential(nn.Linear(3, 3)))[0])


@pytest.mark.usefixtures("avx512")
def test_without_the_operator_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object) -> None:
        raise AttributeError("no such operator")

    monkeypatch.setattr(onednn, "product", missing)
    model = onednn.speed_up(nn.Sequential(nn.Linear(3, 3)))
    assert "forward" not in vars(model[0])
    assert model(torch.ones(1, 3)).shape == (1, 3)
