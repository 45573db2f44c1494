"""Fine-tunable encoder classifiers: for students, and for methods that train a learner while they distil."""
