"""Models and data sets of the Hugging Face hub, copied into folders of ours. No pickles, no remote code."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from bench.data.install import Unreachable
from bench.errors import UserError

WANTED = ("*.safetensors", "*.json", "*.txt", "*.model")  # weights, configuration, tokenizer; never *.bin


def commit_of(repo: str, revision: str, content: str) -> str:
    """The commit, 40 hex digits, that a branch, tag or the default branch ("") of a repository stands at now.

    content: "model" or "data". Raises Unreachable when the hub does not answer or has no such repository or revision.
    """
    from huggingface_hub import HfApi

    with _hub_errors():
        kind = "dataset" if content == "data" else "model"
        return str(HfApi().repo_info(repo, revision=revision or None, repo_type=kind).sha)


def fetch_model(repo: str, revision: str, folder: Path, offline: bool, again: bool = False) -> None:
    """Put the top-level weights, configuration and tokenizer of `repo` into the empty `folder`.

    The hub's own cache is used, so files that another program downloaded are not downloaded again; the
    files are hard links into it where the file system allows. Offline reads only that cache; `again` downloads
    what it holds too, since a damaged link is damaged on both ends.
    Raises Unreachable when the hub does not answer, UserError when the repository has no safetensors.
    """
    from huggingface_hub import snapshot_download

    with _hub_errors():
        snapshot = snapshot_download(
            repo,
            revision=revision or None,
            allow_patterns=list(WANTED),
            ignore_patterns=["*/*"],
            local_files_only=offline,
            force_download=again,
        )
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

    with _hub_errors():
        splits = datasets.load_dataset(repo, config or None, revision=revision or None)
    for name, split in splits.items():
        split.to_parquet(folder / f"{name}.parquet")


@contextmanager
def _hub_errors() -> Iterator[None]:
    """Turn what the hub's libraries raise into Unreachable; their retries are not shown."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    except Exception as error:  # the HTTP library under the hub's client differs between its versions
        answered = isinstance(error, HfHubHTTPError) and error.response is not None
        down = not answered and isinstance(error, (ConnectionError, LocalEntryNotFoundError))
        if down:
            raise Unreachable("the Hugging Face hub could not be reached", down=True) from error
        lines = str(error).strip().splitlines() or [""]
        raise Unreachable(f"{type(error).__name__}: {lines[0]}"[:160]) from error
    finally:
        log.setLevel(level)
