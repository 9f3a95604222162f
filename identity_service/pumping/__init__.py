"""A simulated world of honest people and of those who pump messages, in front of the service's own guard.

The rules are not copied: `doors.py` opens the same guard, budgets and policy that the service runs, on a
store in memory.  What the world is assumed to be like stands in docs/guard.md.
"""
