"""From `?limit=&cursor=` to a page."""

from __future__ import annotations

from identity_service.api.schemas import PageQuery
from identity_service.services.paging import Paging, read_cursor


def paging_of(query: PageQuery) -> Paging:
    """Raises: Refused `cursor_invalid`."""
    return Paging(limit=query.limit, after=None if query.cursor is None else read_cursor(query.cursor))
