"""The development inbox: messages land in a SQLite file, where a person or a test reads them.

The file is the inbox's own, apart from the service's database: its bodies hold codes in clear,
which that database never may. Web process, worker and tests open it at the same time, so every
call uses a connection of its own and waits for its turn.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn, TypedDict

from sms.providers.base import (
    PLAIN_WORDS,
    Accepted,
    Callback,
    FailureKind,
    OutgoingMessage,
    ProviderFailure,
    ReceiptRefusal,
    ReceiptRefused,
)
from sms.segments import count
from sms.states import DeliveryState

_KEPT_MESSAGES: Final = 10_000
_WAIT_SECONDS: Final = 10.0

# STRICT keeps a stray type out; the attempt is the key, so a repeat is the same message.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS inbox_message (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    attempt_id TEXT NOT NULL UNIQUE,
    recipient  TEXT NOT NULL,
    body       TEXT NOT NULL,
    channel    TEXT NOT NULL,
    sent_at    TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS inbox_message_by_recipient ON inbox_message (recipient, position);
"""


class InboxMessage(TypedDict):
    """One received message, as `GET /dev/inbox` shows it. `sent_at` is RFC 3339, UTC."""

    to: str
    body: str
    channel: str
    sent_at: str


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Inbox:
    """A provider whose phones are rows. For development only; production refuses it.

    Parameters
    ----------
    path
        The SQLite file. Made, with its folder, when the first message comes or is asked for.
    now
        The clock; aware, UTC.
    """

    def __init__(self, path: Path | str, *, now: Callable[[], datetime] = _utc_now) -> None:
        self._path = Path(path)
        self._now = now

    @property
    def name(self) -> str:
        """`inbox`."""
        return "inbox"

    def send(self, message: OutgoingMessage) -> Accepted:
        """Store a message; the same `attempt_id` again stores nothing.

        Raises
        ------
        ProviderFailure
            `unavailable`, when the file can not be written.
        """
        sent_at = self._now().astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        row = (message.attempt_id, message.to, message.body, message.channel, sent_at)
        try:
            with self._opened() as connection:
                connection.execute(
                    "INSERT INTO inbox_message (attempt_id, recipient, body, channel, sent_at)"
                    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (attempt_id) DO NOTHING",
                    row,
                )
                connection.execute(
                    "DELETE FROM inbox_message"
                    " WHERE position <= (SELECT max(position) FROM inbox_message) - ?",
                    (_KEPT_MESSAGES,),
                )
        except (sqlite3.Error, OSError) as error:
            raise ProviderFailure(
                kind=FailureKind.UNAVAILABLE,
                provider=self.name,
                provider_code=type(error).__name__,
                plain=PLAIN_WORDS[FailureKind.UNAVAILABLE],
            ) from None
        return Accepted(
            provider=self.name,
            provider_id=message.attempt_id,
            state=DeliveryState.DELIVERED,
            segments=count(message.body).segments,
        )

    def messages(self, to: str | None = None, limit: int = 100) -> list[InboxMessage]:
        """Read what came in, newest first.

        Parameters
        ----------
        to
            Only messages for this number.
        limit
            At most this many, 1 to 10,000.
        """
        where, values = ("WHERE recipient = ?", (to,)) if to is not None else ("", ())
        bounded = max(1, min(limit, _KEPT_MESSAGES))
        with self._opened() as connection:
            rows = connection.execute(
                f"SELECT recipient, body, channel, sent_at FROM inbox_message {where}"  # noqa: S608 (constant)
                " ORDER BY position DESC LIMIT ?",
                (*values, bounded),
            ).fetchall()
        return [
            InboxMessage(to=recipient, body=body, channel=channel, sent_at=sent_at)
            for recipient, body, channel, sent_at in rows
        ]

    def parse_receipt(self, callback: Callback) -> NoReturn:
        """Refuse: an inbox sends no receipts.

        Raises
        ------
        ReceiptRefused
            Always.
        """
        del callback
        raise ReceiptRefused(ReceiptRefusal.UNSUPPORTED, "the inbox sends no receipts")

    def close(self) -> None:
        """Nothing is held open between calls."""

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()
