"""The parts of scripts/mutate: sound inputs, what is done to them, and how an outcome is judged."""
