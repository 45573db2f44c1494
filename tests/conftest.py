"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import signal
import string
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch and BLAS load; two threads each on two cores crawl
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

WORDS = (  # the vocabulary beside single letters
    "the a of in and to is was it this that film movie plot actor great dull good bad funny slow bright dark warm cold "
    "team won lost match goal player coach market shares bank profit prices fell rose growth sales minister party "
    "election vote law phone software game online digital music band song award star not very too more than"
)


def build_tiny_encoder(folder: Path, seed: int = 0) -> Path:
    """Write a random BERT (4 layers, hidden size 32, 128 positions) with a WordPiece tokenizer to `folder`."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = list(string.ascii_lowercase + string.digits + ".,!?'-")
    vocabulary = [*special, *letters, *(f"##{letter}" for letter in letters), *(w for w in WORDS.split() if len(w) > 1)]
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=128,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.2,  # 0.02 at this width would make all sentences look alike
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(config)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random BERT encoder with its tokenizer; read it, do not write to it."""
    return build_tiny_encoder(tmp_path_factory.mktemp("tiny-encoder"))


@dataclass(frozen=True)
class Bench:
    """The `bench` command in a process of its own, from an empty folder, with its own cache."""

    folder: Path
    environment: dict[str, str]

    def command(self, *words: str) -> list[str]:
        """Words for subprocess: what the console script does, whatever is installed on the PATH."""
        return [sys.executable, "-P", "-c", "from bench.cli.main import main; main()", *words]

    def __call__(self, *words: str, code: int | None = 0, **more: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; `code` is the exit code that is expected, `more` changes the environment."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert code is None or done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start it and go on."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # ignored in a background job
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """The command with a fresh cache; BENCH_CACHE of the caller is not used."""
    folder = tmp_path / "work"
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in {"BENCH_PLUGINS", "HF_HUB_OFFLINE"}}
    return Bench(folder, environment | {"BENCH_CACHE": str(tmp_path / "cache")})
