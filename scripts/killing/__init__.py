"""The parts of scripts/kill_test: what is run, how it is disturbed, and how its results are compared."""
