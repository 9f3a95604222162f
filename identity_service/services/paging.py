"""Pages: a limit, an opaque cursor, and what comes next.  Keyset, never offsets: stable while rows arrive."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import ColumnElement, Select

from identity_service.errors import Refused

T = TypeVar("T")
MAX_LIMIT: Final = 200
DEFAULT_LIMIT: Final = 50
_KEY: Final = re.compile(r"[A-Za-z0-9_:.-]{1,80}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """Which page.  `after` is the key of the last row of the page before."""

    limit: int = DEFAULT_LIMIT
    after: str | None = None

    def apply(
        self, query: Select[Any], key: ColumnElement[Any], *, newest_first: bool = False
    ) -> Select[Any]:
        """Order by `key`, start after the cursor, and ask for one row more than the page."""
        if self.after is not None:
            query = query.where(key < self.after if newest_first else key > self.after)
        return query.order_by(key.desc() if newest_first else key).limit(self.limit + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    data: Sequence[T]
    next_cursor: str | None

    @property
    def has_more(self) -> bool:
        return self.next_cursor is not None


def page_of(rows: Sequence[T], paging: Paging, key: str = "id") -> Page[T]:
    """Make a page of rows read by `Paging.apply`."""
    more = len(rows) > paging.limit
    rows = rows[: paging.limit]
    return Page(data=rows, next_cursor=write_cursor(str(getattr(rows[-1], key))) if more else None)


def write_cursor(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode()


def read_cursor(cursor: str) -> str:
    """Raises: Refused `cursor_invalid`."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        key = raw.decode("ascii")
    except ValueError:
        key = ""
    if not _KEY.fullmatch(key):
        raise Refused("cursor_invalid", "This cursor was not made by this service.")
    return key
