"""Whole runs as functions: from one artefact on disk to the next."""
