"""What can be learnt, a folder each."""
