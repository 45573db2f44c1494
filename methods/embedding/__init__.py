"""Sets at the embedding level: data that gradient descent has learned through gradient descent."""
