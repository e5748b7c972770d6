"""How good answers and pictures are, in numbers."""
