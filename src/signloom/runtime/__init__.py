"""Processes, progress, files written whole, hashes: what every job stands on."""
