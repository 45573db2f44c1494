"""Fixtures of the tests of causal language models: tiny generators and a context."""

from __future__ import annotations

from tests.methods.gen_distill.conftest import _one_thread, make_context, tiny_generator, tiny_llama

__all__ = ["_one_thread", "make_context", "tiny_generator", "tiny_llama"]
