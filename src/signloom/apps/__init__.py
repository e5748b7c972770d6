"""What runs on and on: signs named as they are made."""
