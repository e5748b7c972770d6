"""Clip to clip: extractors and augmentations, frozen dataclasses with a version."""
