"""What can be got out of a clip, one file each."""
