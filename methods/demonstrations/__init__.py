"""Methods that were made to select demonstrations for language models, without a learner: vote-k and a DPP."""
