"""Growth reports: what invitations bring, computed over columns.

Pure: `facts.py` says what is counted, `view.py` what the filters mean, `report.py` what an answer looks like,
and one module a report defines and computes it.
"""
