"""Races: many callers contend for one scarce thing, on both stores, and the ledger is read afterwards."""
