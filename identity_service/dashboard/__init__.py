"""The dashboard: pages over the same use cases as the API, for growth teams and administrators.

Owns what a signed-in person sees and may press.  Refuses to know a statement: every page is one reading or
one use case, rendered.
"""

from identity_service.dashboard.frame import install

__all__ = ["install"]
