"""The checks before the first epoch."""
