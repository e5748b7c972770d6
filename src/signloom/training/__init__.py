"""One loop for everything that is learnt, and models on disk."""
