"""A page and a small API on this machine: models and networks for browsers, clips and frames in, answers out."""
