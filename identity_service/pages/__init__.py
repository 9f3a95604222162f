"""Pages for people: the docs, and where an invite's link leads.

Server-rendered from templates beside this module.  Nothing is fetched from elsewhere, no script stands
inside a page, and only the join page has a script at all.
"""

from identity_service.pages.routes import pages

__all__ = ["pages"]
