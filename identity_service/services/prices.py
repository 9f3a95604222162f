"""The prices in force: those that came with the service, and over them what operators imported."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, Final

from sqlalchemy import select

from identity_service.db.store import Statement, Tx, binds, per_dialect
from identity_service.db.tables import sms_prices
from identity_service.ports import SECOND, Instant
from identity_service.services.journal import Journal
from sms.prices import ListedPrice, PriceBook, builtin_prices

BUILT_IN: Final = "built in"
_FRESH: Final = 30 * SECOND
_FIELDS: Final = ("provider", "place", "micros", "as_of", "source", "imported_at")
_ALL = Statement(select(*(sms_prices.c[name] for name in _FIELDS)))


def _put_clause(insert: Any) -> Any:
    row = insert(sms_prices).values(binds(_FIELDS))
    return row.on_conflict_do_update(
        index_elements=["provider", "place"], set_={name: row.excluded[name] for name in _FIELDS[2:]}
    )


_PUT = per_dialect(_put_clause)


class Prices:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seen: tuple[Instant, PriceBook] = (-_FRESH, PriceBook(builtin_prices()))

    def book(self, tx: Tx) -> PriceBook:
        """Return the prices as they were at most half a minute ago."""
        at, book = self._seen
        if not 0 <= tx.now - at < _FRESH:
            book = PriceBook([*builtin_prices(), *(_listed(row) for row in tx.all(_ALL))])
            self._seen = (tx.now, book)
        return book

    def listed(self, tx: Tx) -> list[tuple[ListedPrice, str]]:
        """Return every price with its source; what was imported in place of what was built in."""
        found = {(one.provider, one.place): (one, BUILT_IN) for one in builtin_prices()}
        found |= {(row.provider, row.place): (_listed(row), row.source) for row in tx.all(_ALL)}
        return [found[key] for key in sorted(found)]

    def keep(self, tx: Tx, prices: Iterable[ListedPrice], source: str) -> int:
        """Put prices in force, each in place of the one before; return how many."""
        prices = list(prices)
        for price in prices:
            tx.run(
                _PUT,
                provider=price.provider,
                place=price.place,
                micros=price.micros,
                as_of=price.as_of.isoformat(),
                source=source[:60],
                imported_at=tx.now,
            )
        self._seen = (-_FRESH, PriceBook(()))
        self._journal.tell(
            tx, "prices.imported", "prices", {"count": len(prices)}, detail={"source": source}, public=False
        )
        return len(prices)


def _listed(row: Any) -> ListedPrice:
    return ListedPrice(
        provider=row.provider, place=row.place, micros=row.micros, as_of=date.fromisoformat(row.as_of)
    )
