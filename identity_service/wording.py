"""What pages say: Babel catalogues, one file a language beside the pages that speak from it.

A page's own sentences have keys.  What reports, scores and messages say of themselves is English already:
such a sentence is its own key, and only the other languages have a file of them (`texts.ru.po`).

They are read from the `.po` files once a process: no compiled file can be older than its source.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from babel.messages.pofile import read_po
from werkzeug.datastructures import LanguageAccept

LOCALES: Final = ("en", "ru")


def negotiate(accepted: LanguageAccept) -> str:
    """Return the language of ours that a browser likes best."""
    return accepted.best_match(LOCALES, default=LOCALES[0]) or LOCALES[0]


@cache
def catalogue(package: str, locale: str) -> Mapping[str, str]:
    """Return a package's sentences in one language, by their key."""
    return _read(package, f"{locale}.po", locale)


@cache
def texts(package: str, locale: str) -> Mapping[str, str]:
    """Return English sentences of other packages in one language; in English there are none to translate."""
    return {} if locale == LOCALES[0] else _read(package, f"texts.{locale}.po", locale)


def _read(package: str, name: str, locale: str) -> Mapping[str, str]:
    with (files(package) / "locales" / name).open("rb") as source:
        return {
            str(message.id): str(message.string) for message in read_po(source, locale=locale) if message.id
        }
