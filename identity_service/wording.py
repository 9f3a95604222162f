"""What pages say: Babel catalogues, one file a language beside the pages that speak from it.

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
    with (files(package) / "locales" / f"{locale}.po").open("rb") as source:
        return {
            str(message.id): str(message.string) for message in read_po(source, locale=locale) if message.id
        }
