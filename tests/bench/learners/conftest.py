"""Fixtures of the learners' tests."""

from __future__ import annotations

from tests.learner_models import _one_thread, context, tiny_mpnet, tiny_roberta, tiny_xlnet

__all__ = ["_one_thread", "context", "tiny_mpnet", "tiny_roberta", "tiny_xlnet"]
