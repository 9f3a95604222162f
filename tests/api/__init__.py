"""The REST edge: its description, who may call what, and what it does with input that is wrong."""
