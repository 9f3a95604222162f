"""The API under generated requests."""
