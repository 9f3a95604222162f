"""How values look on a page: instants, numbers, shares, countries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from babel import Locale
from babel.numbers import format_decimal, format_percent
from markupsafe import Markup

from identity_service.ports import SECOND, Instant, rfc3339

NOTHING: Final = "–"


def when(at: Instant | None) -> Markup | str:
    """Return an instant as people read it, in UTC, with the exact one beside it for machines."""
    if at is None:
        return NOTHING
    shown = datetime.fromtimestamp(at // SECOND, UTC).strftime("%Y-%m-%d %H:%M")
    exact = rfc3339(at)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, exact, shown)


def number(value: float | None, locale: str = "en") -> str:
    if value is None:
        return NOTHING
    places = "#,##0.##" if abs(value) >= 1 else "#,##0.###"
    return str(format_decimal(value, format=places, locale=locale))


def percent(value: float | None, locale: str = "en") -> str:
    return NOTHING if value is None else str(format_percent(value, format="#,##0.0%", locale=locale))


def signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def country(code: str | None, locale: str = "en") -> str:
    """Return a country's name; a code that is none (a satellite network's) as it stands."""
    if not code:
        return NOTHING
    return str(Locale.parse(locale).territories.get(code, code))


def dash(value: Any) -> Any:
    return NOTHING if value is None or value == "" else value


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "when": when,
    "number": number,
    "percent": percent,
    "signed": signed,
    "country": country,
    "dash": dash,
}
