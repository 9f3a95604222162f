"""Use cases, one module a capability.  Each public method is one transaction's work: it takes an open `Tx`
and frozen input, and returns a frozen result or raises `Refused`.  No network in here.
"""
