"""What the hosted page says: the same in each language, nothing missing, nothing left over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from werkzeug.datastructures import LanguageAccept

import identity_service.pages.hosted
from identity_service import wording
from identity_service.api.problems import KINDS
from identity_service.errors import FieldError, Refused
from identity_service.pages.hosted.countries import countries, likely
from identity_service.pages.hosted.refusals import in_words, tell
from identity_service.ports import HOUR, MINUTE, SECOND
from sms.numbers import parse
from sms.typed import COUNTRIES, dialled

FOLDER = Path(identity_service.pages.hosted.__file__).parent
WORDS = {locale: wording.catalogue("identity_service.pages.hosted", locale) for locale in wording.LOCALES}


def test_all_catalogues_have_the_same_sentences_with_the_same_blanks() -> None:
    english = WORDS["en"]
    assert all(english.values())
    for locale, found in WORDS.items():
        assert found.keys() == english.keys(), locale
        assert all(found.values()), locale
        for key, text in english.items():
            assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", found[key])), key


def test_the_pages_say_what_the_catalogues_have_and_nothing_else() -> None:
    sources = [*FOLDER.glob("templates/hosted/*.html"), FOLDER / "routes.py", FOLDER / "refusals.py"]
    text = "\n".join(source.read_text() for source in sources)
    used = set(re.findall(r"""(?:say|_words\(\))\[['"]([\w.]+)['"]\]""", text))
    refusals = {key for key in WORDS["en"] if key.startswith("refused.")}
    assert used | refusals == WORDS["en"].keys()


def test_every_sentence_of_a_refusal_is_for_a_code_that_there_is() -> None:
    own = {"invite_malformed", "code_malformed", "page_over", "away", "later", "other"}
    named = {key.split(".")[1] for key in WORDS["en"] if key.startswith("refused.")}
    assert named <= KINDS.keys() | own


@pytest.mark.parametrize("locale", wording.LOCALES)
@pytest.mark.parametrize("code", KINDS)
def test_every_code_of_the_api_can_be_said(code: str, locale: str) -> None:
    for retry_at in (None, 90 * SECOND):
        told = tell(Refused(code, "detail", retry_at=retry_at), WORDS[locale], locale, 0)
        assert told.words
        assert "{when}" not in told.words
        assert "detail" not in told.words
        assert told.status == KINDS[code].status


def test_the_most_exact_sentence_wins() -> None:
    fields = (FieldError(pointer="/phone", code="phone_unassigned", detail=""),)
    told = tell(Refused("phone_invalid", "", errors=fields), WORDS["en"], "en", 0)
    assert told.words.startswith("There is no such number")
    told = tell(Refused("verification_over", "", state="expired"), WORDS["en"], "en", 0)
    assert "time is over" in told.words
    told = tell(Refused("something_new", "", retry_at=5 * MINUTE), WORDS["en"], "en", 0)
    assert told.words.endswith("in 5 minutes.")


@pytest.mark.parametrize(
    ("instant", "english", "russian"),
    [
        (25 * SECOND, "in 25 seconds", "через 25 секунд"),
        (61 * SECOND, "in 2 minutes", "через 2 минуты"),
        (5 * HOUR, "in 5 hours", "через 5 часов"),
    ],
)
def test_times_are_said_so_that_nobody_comes_too_early(instant: int, english: str, russian: str) -> None:
    assert in_words(instant // SECOND, "en") == english
    assert in_words(instant // SECOND, "ru") == russian


@pytest.mark.parametrize("locale", wording.LOCALES)
def test_every_country_is_there_with_its_name_and_an_example_that_could_be_a_phone(locale: str) -> None:
    listed = countries(locale)
    assert sorted(country.id for country in listed) == sorted(COUNTRIES)
    for country in listed:
        assert country.name
        assert country.example.startswith("+"), country.id
        assert country.calling_code.startswith("+")
    russian = next(one.example for one in listed if one.id == "RU")
    assert parse(dialled(russian, "US")).country == "RU"


@pytest.mark.parametrize(
    ("accepted", "locale", "country"),
    [
        ([("ru-RU", 1.0)], "ru", "RU"),
        ([("ru", 1.0)], "ru", "RU"),
        ([("en-GB", 1.0), ("en", 0.9)], "en", "GB"),
        ([("en", 1.0)], "en", "US"),
        ([("zh-Hans-CN", 1.0)], "en", "CN"),
        ([("es-419", 1.0)], "en", "US"),
        ([], "en", "US"),
    ],
)
def test_the_country_is_guessed_from_what_the_browser_says(
    accepted: list[tuple[str, float]], locale: str, country: str
) -> None:
    assert likely(LanguageAccept(accepted), locale) == country
