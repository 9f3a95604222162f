"""The hosted join page: from an invite's link to a member, for networks that have no page of their own.

Plain forms that work without a script, and better with one; what the browser keeps between them is one
sealed cookie.  Every rule is the API's: the pages call the same use cases as a client of their own.
"""

from identity_service.pages.hosted.routes import hosted, show_phone

__all__ = ["hosted", "show_phone"]
