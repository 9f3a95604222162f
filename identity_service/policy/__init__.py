"""The rules: pure functions over frozen facts.  No store, no clock, no network."""
