"""Loading a pretrained causal language model: from safetensors, or from a GGUF file that is converted once."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers

from bench.api import Context, UserError
from bench.data.encoders import load_tokenizer, quiet
from bench.learners.pretrained import first_line, own_rng


def load_base(ref: str, ctx: Context, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """The causal language model (of this type, evaluation mode, on the CPU) and the tokenizer of an asset.

    Raises UserError when the folder holds neither safetensors nor one GGUF file, when either is damaged, or when the
    model is none that predicts the next token from the tokens before it.
    """
    folder = ctx.asset(ref)
    if not folder.is_dir():
        raise UserError(f"model '{ref}' is a file: name the folder of a model")
    if not any(folder.glob("*.safetensors")):
        files = sorted(folder.glob("*.gguf"))
        if len(files) != 1:
            raise UserError(
                f"model '{ref}': {folder} has no weights in safetensors format (pickled weights are not read) "
                f"and {len(files)} GGUF files, where one is needed"
            )
        fields = {"asset": ctx.asset_identity(ref)}
        folder = ctx.artifact("causal-lm", fields, lambda target: _convert(files[0], target, ctx), code=__name__)
    model = load_model(folder, ref, dtype)
    check(model, ref)
    return model, load_tokenizer(folder)


def load_model(folder: Path, ref: str, dtype: torch.dtype = torch.float32) -> Any:
    """A causal language model of a folder with safetensors weights; `ref` names it in errors."""
    try:
        with own_rng(0, "cpu"), quiet():
            found: Any = transformers.AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
    except Exception as error:  # damaged files raise OSError, ValueError, SafetensorError, KeyError, ...
        raise UserError(f"no usable causal language model in {folder}: {first_line(error)}") from error
    model, info = found
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise UserError(f"model '{ref}' is no causal language model: its file lacks {missing[0]}")
    return model.eval()


def _convert(file: Path, folder: Path, ctx: Context) -> None:
    ctx.progress(0, 1, f"converting {file.name}, once")
    convert(file, folder)


def convert(file: Path, folder: Path) -> None:
    """Write the model and tokenizer of a GGUF file to `folder`: weights in float32, safetensors format."""
    missing = [name for name in ("gguf", "accelerate") if find_spec(name) is None]
    if missing:
        raise UserError(f"reading {file.name} needs the packages gguf and accelerate: pip install {' '.join(missing)}")
    try:
        with own_rng(0, "cpu"), quiet(), redirect_stderr(io.StringIO()):  # its progress bar cannot be turned off
            options: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
            found: Any = transformers.AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **options)
            tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, **options)
            config = type(found.config).from_dict(
                {name: value for name, value in found.config.to_dict().items() if name != "quantization_config"}
            )
            model = type(found)(config)  # a model that was dequantised refuses to be saved
            model.load_state_dict(found.state_dict())
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    except Exception as error:
        raise UserError(f"no usable causal language model in {file}: {first_line(error)}") from error


@torch.no_grad()
def check(model: Any, ref: str) -> None:
    """Raise UserError unless the model looks back only and its logits are one linear layer on its hidden states."""
    ids = torch.tensor([[0, 1, 2], [0, 1, 3]])
    hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    exact = hidden.dtype == torch.float32
    if not torch.allclose(hidden[0, :2], hidden[1, :2], rtol=1e-4 if exact else 0.05, atol=1e-5 if exact else 0.05):
        raise UserError(f"model '{ref}' is no causal language model: it reads the tokens that come after")
    head = model.get_output_embeddings()
    logits = model(input_ids=ids, use_cache=False).logits
    if head is None or not torch.allclose(head(hidden), logits, rtol=1e-4, atol=1e-4 if exact else 0.05):
        raise UserError(f"model '{ref}': logits that are no linear layer on the hidden states are not supported")
