"""Tasks, training, checkpoints and metrics."""
