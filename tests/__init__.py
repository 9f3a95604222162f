"""The tests; their tree mirrors the packages they look at."""
