"""Linear layers on a CPU through oneDNN.

PyTorch sends float32 products to MKL, which leaves AVX-512 unused on CPUs that are not Intel's and so runs at half of
oneDNN's speed there (a Zen 5 core: 95 against 210 GFLOP/s). Without AVX-512 it is MKL that is faster (a Zen 3 core: by
a fifth). The operator is PyTorch's own but internal, so it is tried first and left alone where a build lacks it.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def product(weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    """x @ weight^T + bias in float32 without autograd: x [..., d_in], weight [d_out, d_in] -> [..., d_out]."""
    import torch

    found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return found


@cache
def available() -> bool:
    """Whether this build of PyTorch has the operator and it gives the right product."""
    import torch

    x, weight, bias = torch.arange(6.0).reshape(2, 3), torch.arange(12.0).reshape(4, 3), torch.ones(4)
    try:
        with torch.inference_mode():
            return bool(torch.equal(product(weight, bias, x), x @ weight.T + bias))
    except (AttributeError, RuntimeError, TypeError):
        return False


@cache
def faster() -> bool:
    """Whether it is there and this CPU gains by it."""
    import torch

    return available() and torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def speed_up(model: Any) -> Any:
    """Let every float32 nn.Linear on a CPU that gains by it compute with oneDNN, for inference only; returns the model.

    Values change by float32 rounding. Subclasses of nn.Linear keep their own forward.
    """
    import torch

    if faster():
        for module in model.modules():
            weight: Any = getattr(module, "weight", None)
            if type(module) is torch.nn.Linear and weight.device.type == "cpu" and weight.dtype == torch.float32:
                setattr(module, "forward", partial(product, weight, module.bias))  # noqa: B010
    return model
