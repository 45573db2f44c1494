"""In-context learning: prompts of labelled demonstrations, and what a causal language model answers to them."""
