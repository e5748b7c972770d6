"""Whole runs from one artefact on disk to the next."""
