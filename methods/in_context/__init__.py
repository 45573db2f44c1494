"""Demonstrations that a language model chooses: by its gradients, or by how well it labels with them."""
