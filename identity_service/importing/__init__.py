"""A file with an existing tree: read into columns, and judged whole before a row is written.

Pure: it knows no store.  What must be asked there (who is a member already, whose phone is whose) is handed
in.  A row costs some fifty bytes and its external id, so that ten million rows fit into a small machine.
"""
