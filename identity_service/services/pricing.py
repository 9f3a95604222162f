"""What a message costs: its segments, times the price of a provider: of the dearest, before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from identity_service.db.store import Tx
from identity_service.services.prices import Prices
from identity_service.services.wording import Wording
from sms.numbers import E164
from sms.prices import ListedPrice
from sms.providers.base import Price
from sms.route import Routes
from sms.texts import TextKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a message will take, in segments and millionths of a dollar."""

    segments: int
    micros: int


class Pricing:
    def __init__(self, *, prices: Prices, wording: Wording, routes: Routes) -> None:
        self._prices, self._wording, self._routes = prices, wording, routes

    def estimate(
        self,
        tx: Tx,
        *,
        to: E164,
        country: str,
        kind: TextKind,
        locale: str | None,
        code: str | None,
        hours: int | None,
    ) -> Estimate:
        """Return what a message costs at most: with the dearest provider of its route."""
        segments = self._wording.segments(kind, locale, code=code, hours=hours)
        dearest = max(self.micros(tx, name, to, country) for name in self._routes.of(to, country).names)
        return Estimate(segments=segments, micros=segments * dearest)

    def micros(self, tx: Tx, provider: str, to: E164, country: str) -> int:
        """Return the price of one segment with a provider; what has no price costs nothing."""
        price = self.of(tx, provider, to, country)
        return 0 if price is None else price.micros

    def of(self, tx: Tx, provider: str, to: E164, country: str) -> ListedPrice | None:
        """Return the price of one segment with a provider."""
        return self._prices.book(tx).of(provider, to, country)


def in_micros(price: Price | None, usd_per: Mapping[str, float]) -> int | None:
    """Return what a provider took, in millionths of a dollar; None in a currency without a rate."""
    if price is None:
        return None
    rate = 1.0 if price.currency == "USD" else usd_per.get(price.currency)
    return None if rate is None else round(float(price.amount) * rate * 1_000_000)
