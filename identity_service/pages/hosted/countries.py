"""The countries to choose from beside a phone's field, by name in the reader's language."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

from babel import Locale
from babel.core import get_global, parse_locale
from werkzeug.datastructures import LanguageAccept

from sms.typed import COUNTRIES, calling_code, example


@dataclass(frozen=True, slots=True, kw_only=True)
class Country:
    id: str
    name: str
    calling_code: str
    example: str


@cache
def countries(locale: str) -> tuple[Country, ...]:
    names = Locale.parse(locale).territories
    listed = [
        Country(id=id_, name=names.get(id_, id_), calling_code=calling_code(id_), example=example(id_))
        for id_ in COUNTRIES
    ]
    return tuple(sorted(listed, key=lambda country: _sorted_as(country.name)))


def _sorted_as(name: str) -> str:
    """Letters with marks stand beside those without."""
    bare = unicodedata.normalize("NFKD", name)
    return "".join(symbol for symbol in bare if not unicodedata.combining(symbol)).casefold()


def likely(accepted: LanguageAccept, locale: str) -> str:
    """Return the country of a reader: the first that the browser names, else the one of the language."""
    for tag, _ in accepted:
        parts = tag.replace("_", "-").split("-")
        for part in parts[1:]:
            if part.upper() in COUNTRIES:
                return part.upper()
    _, territory, *_ = parse_locale(get_global("likely_subtags")[locale])
    return territory or COUNTRIES[0]


def text_direction(locale: str) -> str:
    return Locale.parse(locale).text_direction
