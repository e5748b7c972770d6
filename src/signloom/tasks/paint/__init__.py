"""Painting a signer from poses."""
