"""How values look on a page: instants, numbers, shares, countries."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from babel import Locale
from babel.numbers import format_currency, format_decimal, format_percent
from markupsafe import Markup, escape

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
    return str(format_decimal(value, format=places, locale=locale)).replace("-", "\N{MINUS SIGN}")


def money(dollars: float | None, locale: str = "en") -> str:
    """Return dollars; a message costs parts of a cent."""
    if dollars is None:
        return NOTHING
    places = "0" * (2 if abs(dollars) >= 1 else 4)
    shape = f"¤#,##0.{places}" if locale == "en" else f"#,##0.{places}\xa0¤"
    return str(format_currency(dollars, "USD", shape, locale=locale, currency_digits=False))


def percent(value: float | None, locale: str = "en") -> str:
    shape = "#,##0.0%" if locale == "en" else "#,##0.0\xa0%"
    return NOTHING if value is None else str(format_percent(value, format=shape, locale=locale))


def signed(value: float, locale: str = "en") -> str:
    return str(format_decimal(value, format="+0.000;\N{MINUS SIGN}0.000", locale=locale))


def country(code: str | None, locale: str = "en") -> str:
    """Return a country's name; a code that is none (a satellite network's) as it stands."""
    if not code:
        return NOTHING
    return str(Locale.parse(locale).territories.get(code, code))


def pairs(data: str) -> list[tuple[str, Any]]:
    """Return what a journal's entry tells, name by name; what is empty is left out."""
    return [
        (name, json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value)
        for name, value in json.loads(data).items()
        if value is not None
    ]


def coded(text: str) -> Markup:
    """Set what stands between grave accents, a name of the API, as code."""
    parts = str(text).split("`")
    marked = (
        Markup("<code>{}</code>").format(one) if place % 2 else escape(one) for place, one in enumerate(parts)
    )
    return Markup("").join(marked)


def dash(value: Any) -> Any:
    return NOTHING if value is None or value == "" else value


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "when": when,
    "number": number,
    "money": money,
    "percent": percent,
    "signed": signed,
    "country": country,
    "pairs": pairs,
    "coded": coded,
    "dash": dash,
}
