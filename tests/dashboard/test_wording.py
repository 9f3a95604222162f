"""What the dashboard says: the same in every language, all of it used, nothing missing."""

from __future__ import annotations

import re
from pathlib import Path

import identity_service.dashboard
from identity_service.wording import LOCALES, catalogue

FOLDER = Path(identity_service.dashboard.__file__).parent
PACKAGE = "identity_service.dashboard"
SOURCES = [
    *FOLDER.rglob("*.html"),
    *FOLDER.rglob("*.py"),
]
_PLAIN = re.compile(r"""say\(\s*["']([\w.]+)["']\s*[,)]""")
_FORMATTED = re.compile(r"""f"([\w.]+\.)\{""")
_QUOTED = re.compile(r"""["']([\w.]+)["']""")
_BUILT = re.compile(r"""(?:say(?:\.known)?\(\s*|[(,]\s*)["']([\w.]+\.)["']\s*~""")


def test_each_language_says_the_same_things() -> None:
    english = catalogue(PACKAGE, "en")
    for locale in LOCALES:
        other = catalogue(PACKAGE, locale)
        assert other.keys() == english.keys()
        for key, text in other.items():
            assert text, key
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", english[key])), key


def test_every_sentence_that_a_page_says_is_there_and_no_other() -> None:
    text = "\n".join(source.read_text() for source in SOURCES)
    said, built = set(_PLAIN.findall(text)), set(_BUILT.findall(text))
    known = catalogue(PACKAGE, "en").keys()
    assert said <= known
    built |= set(_FORMATTED.findall(text))
    said |= set(_QUOTED.findall(text))  # handed on before it is said
    unused = {key for key in known if key not in said and not any(key.startswith(one) for one in built)}
    assert unused == set()
