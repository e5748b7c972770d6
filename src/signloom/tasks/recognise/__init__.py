"""Naming the sign in a clip."""
