"""Models and data sets of the Hugging Face hub, copied into folders of ours. No pickles, no remote code."""

from __future__ import annotations

import json
import os
import shutil
from fnmatch import fnmatch
from pathlib import Path

from bench.data.install import Unreachable
from bench.errors import UserError

WANTED = ("*.safetensors", "*.json", "*.txt", "*.model")  # weights, configuration, tokenizer; never *.bin


def fetch_model(repo: str, revision: str, folder: Path, offline: bool) -> None:
    """Put the top-level weights, configuration and tokenizer of `repo` into the empty `folder`.

    The hub's own cache is used, so files that another program downloaded are not downloaded again; the
    files are hard links into it where the file system allows. Offline reads only that cache.
    Raises Unreachable when the hub does not answer, UserError when the repository has no safetensors.
    """
    from huggingface_hub import snapshot_download

    try:
        snapshot = snapshot_download(
            repo,
            revision=revision or None,
            allow_patterns=list(WANTED),
            ignore_patterns=["*/*"],
            local_files_only=offline,
        )
    except (OSError, ValueError) as error:  # the hub's own errors, httpx's through them, and "no such repository"
        raise Unreachable(_short(error)) from error
    for file in sorted(Path(snapshot).iterdir()):
        if file.is_file() and any(fnmatch(file.name, pattern) for pattern in WANTED):
            _link(file.resolve(), folder / file.name)
    _check_model(folder, repo)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def _check_model(folder: Path, repo: str) -> None:
    """UserError unless the configuration and every safetensors shard are there."""
    if not (folder / "config.json").is_file():
        raise UserError(f"hub repository {repo} has no config.json: it is no transformers model")
    index = folder / "model.safetensors.index.json"
    shards = {"model.safetensors"}
    if index.is_file():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    missing = sorted(name for name in shards if not (folder / name).is_file())
    if missing:
        raise UserError(
            f"hub repository {repo} has no {missing[0]}: only safetensors weights are read; "
            "choose a revision that has them (hub:org/name@revision), or convert the model and give its folder"
        )


def fetch_dataset(repo: str, config: str, revision: str, folder: Path) -> None:
    """Write each split of a hub data set to `folder/<split>.parquet`, with the hub's column names.

    Raises Unreachable when neither the hub nor the cache of `datasets` has it.
    """
    import datasets

    try:
        splits = datasets.load_dataset(repo, config or None, revision=revision or None)
    except (OSError, ValueError, RuntimeError) as error:
        raise Unreachable(_short(error)) from error
    for name, split in splits.items():
        split.to_parquet(folder / f"{name}.parquet")


def _short(error: BaseException) -> str:
    """Type and first line of an error, at most 160 characters."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}"[:160] if lines else type(error).__name__
