"""Texts: complete in every language, one segment, safe to read from right to left."""

import re
import string
import unicodedata
from importlib.resources import files

import pytest
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

from sms.segments import Encoding, count
from sms.texts import DEFAULT_LOCALE, LOCALES, TextKind, check_parts, negotiate, render

HOST = "join.example.org"
APP_HASH = "FA+9qCX9VSu"
INVITE_CODES = [
    "7KQ4-M2XD-9PTA-E",
    "7KQ4-M2XD-9PTA-~",
    "123-4567-89AB-*",
    "ZZZ-ZZZZ-ZZZZ-$",
    "0000-0000-0000-=",
]
SCRIPTS = {
    "en": Encoding.GSM_7,
    "es": Encoding.GSM_7,
    "ru": Encoding.UCS_2,
    "uk": Encoding.UCS_2,
    "ar": Encoding.UCS_2,
    "zh": Encoding.UCS_2,
}
KEYS = {key for kind in TextKind for key in (kind.value, f"{kind.value}.short")}


def catalogue(locale: str) -> dict[str, str]:
    with (files("sms") / "locales" / f"{locale}.po").open("rb") as source:
        return {str(one.id): str(one.string) for one in read_po(source, abort_invalid=True) if one.id}


def placeholders(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)


def every_text(locale: str) -> list[str]:
    return [
        render(TextKind.OTP, locale, code="839217", host=HOST).body,
        render(TextKind.OTP, locale, code="83921764", host=HOST).body,
        render(TextKind.OTP, locale, code="839217").body,
        render(TextKind.OTP, locale, code="839217", host=HOST, app_hash=APP_HASH).body,
        *(render(TextKind.INVITE, locale, code=code, host=HOST).body for code in INVITE_CODES),
        render(TextKind.RECOVERY_HELD, locale, hours=72).body,
        render(TextKind.RECOVERY_GRANTED, locale).body,
    ]


def test_there_is_a_catalogue_for_every_language_and_no_other() -> None:
    found = {entry.name for entry in (files("sms") / "locales").iterdir() if entry.name.endswith(".po")}

    assert found == {f"{locale}.po" for locale in LOCALES}


@pytest.mark.parametrize("locale", LOCALES)
def test_no_key_is_missing_empty_or_left_over(locale: str) -> None:
    texts = catalogue(locale)

    assert set(texts) == KEYS
    assert all(text.strip() == text and text for text in texts.values())


@pytest.mark.parametrize("locale", LOCALES)
def test_a_translation_has_the_placeholders_of_the_english_text(locale: str) -> None:
    for key, english in catalogue(DEFAULT_LOCALE).items():
        translated = catalogue(locale)[key]
        # The shorter words may leave the brand out, and nothing else.
        allowed = {"brand"} if key.endswith(".short") else set()
        assert set(placeholders(translated)) ^ set(placeholders(english)) <= allowed, key


@pytest.mark.parametrize("locale", [one for one in LOCALES if one != DEFAULT_LOCALE])
def test_a_translation_is_not_the_english_text(locale: str) -> None:
    english = catalogue(DEFAULT_LOCALE)

    assert not [key for key, text in catalogue(locale).items() if text == english[key]]


@pytest.mark.parametrize("locale", LOCALES)
def test_every_text_is_one_segment_in_the_alphabet_of_its_script(locale: str) -> None:
    for body in every_text(locale):
        counted = count(body)
        assert counted.segments == 1, body
        assert counted.encoding is SCRIPTS[locale], body


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("brand", ["A" * 20, "Я" * 20])
def test_the_longest_brand_still_costs_one_segment(locale: str, brand: str) -> None:
    texts = [
        render(TextKind.OTP, locale, code="83921764", host=HOST, brand=brand),
        render(TextKind.INVITE, locale, code=INVITE_CODES[0], host=HOST, brand=brand),
        render(TextKind.RECOVERY_HELD, locale, hours=999, brand=brand),
        render(TextKind.RECOVERY_GRANTED, locale, brand=brand),
    ]

    assert [text.segments.segments for text in texts] == [1, 1, 1, 1]


def test_words_are_dropped_before_a_second_segment_is_paid() -> None:
    roomy = render(TextKind.OTP, "ru", code="839217", host="a.example")
    tight = render(TextKind.OTP, "ru", code="839217", host="a-much-longer-name.example.org")

    assert "Identity" in roomy.body
    assert "Identity" not in tight.body
    assert tight.segments.segments == 1


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("code", ["000000", "839217", "83921764"])
def test_the_code_is_the_only_run_of_digits_and_the_last_line_binds_it_to_the_site(
    locale: str, code: str
) -> None:
    body = render(TextKind.OTP, locale, code=code, host=HOST, app_hash=APP_HASH).body

    assert set(re.findall(r"\d{6,}", body)) == {code}
    assert set(re.findall(r"\b\d{6,8}\b", body)) == {code}, "a word boundary stands on both sides"
    assert body.splitlines()[-1] == f"@{HOST} #{code}"
    assert APP_HASH in body.splitlines()


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("code", INVITE_CODES)
def test_an_invite_code_stands_untouched_in_its_groups(locale: str, code: str) -> None:
    body = render(TextKind.INVITE, locale, code=code, host=HOST).body

    assert body.count(code) == 1
    assert body.splitlines()[-2].endswith(code)
    assert body.splitlines()[-1] == HOST
    assert not re.findall(r"\d{6,}", body)
    assert re.findall(r"[0-9A-Z]{3,}(?:-[0-9A-Z*~$=]+)+", body) == [code]


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("kind", [TextKind.RECOVERY_HELD, TextKind.RECOVERY_GRANTED])
def test_a_notice_carries_no_code_and_nothing_that_looks_like_one(locale: str, kind: TextKind) -> None:
    hours = 72 if kind is TextKind.RECOVERY_HELD else None
    body = render(kind, locale, hours=hours).body

    assert not re.findall(r"\d{4,}", body)
    assert not re.findall(r"[0-9A-Z]{3,}-[0-9A-Z]", body)
    assert ("72" in body) == (kind is TextKind.RECOVERY_HELD)
    with pytest.raises(ValueError, match="code"):
        render(kind, locale, hours=hours, code="839217")


def test_an_arabic_line_begins_with_an_arabic_letter_and_a_code_line_with_a_mark() -> None:
    for text in catalogue("ar").values():
        first = next(c for c in text.split("\n")[0] if unicodedata.bidirectional(c) in {"L", "R", "AL"})
        assert unicodedata.bidirectional(first) == "AL", text
    # A group of digits alone would be laid out after the letters that follow it.
    body = render(TextKind.INVITE, "ar", code="123-4567-89AB-*").body
    assert body.splitlines()[-1] == "\u200e123-4567-89AB-*"


@pytest.mark.parametrize("locale", LOCALES)
def test_no_text_holds_a_bidi_override_or_another_invisible_character(locale: str) -> None:
    for body in every_text(locale):
        hidden = {c for c in body if unicodedata.category(c) in {"Cf", "Cc"} and c != "\n"}
        assert hidden <= ({"\u200e"} if locale == "ar" else set())


@pytest.mark.parametrize(
    ("tag", "locale"),
    [
        ("ru", "ru"), ("ru-RU", "ru"), ("ru_RU", "ru"), ("RU-ru", "ru"), ("uk-UA", "uk"), ("es-419", "es"),
        ("zh", "zh"), ("zh-Hant-TW", "zh"), ("zh_Hans_CN", "zh"), ("ar-EG", "ar"), ("en-GB", "en"),
        ("de", "en"), ("tlh", "en"), ("", "en"), (None, "en"), ("-", "en"), ("*", "en"), ("../ru", "en"),
        ("ru" * 5000, "en"), ("русский", "en"), ("ru-RU-x-anything", "ru"), ("rus", "en"), ("\x00", "en"),
    ],
    ids=lambda value: ascii(value)[:30],
)  # fmt: skip
def test_a_language_tag_is_negotiated_and_the_rest_is_english(tag: str | None, locale: str) -> None:
    assert negotiate(tag) == locale
    assert render(TextKind.RECOVERY_GRANTED, tag).locale == locale


@given(st.text(max_size=40))
def test_no_language_tag_breaks_a_text(tag: str) -> None:
    assert negotiate(tag) in LOCALES


@pytest.mark.parametrize(
    "code", [None, "", "12345", "123456789", "12345a", "１２３４５６", "123 456", "123456\n", "-12345"]
)
def test_what_is_no_one_time_code_is_refused_without_being_repeated(code: str | None) -> None:
    with pytest.raises(ValueError, match="code") as caught:
        render(TextKind.OTP, "en", code=code)
    assert not code or code not in str(caught.value)


@pytest.mark.parametrize(
    "code",
    [None, "", "7KQ4", "7kq4-m2xd", "7K-M2XD-9PTA", "7KQ4 M2XD", "7KQ4--M2XD", "7KQ4-M2XD-", "7KQ4-М2XD",
     "123456-A", "7KQ4-M2XD\n", "https://x", "7KQ4-M2XD-9PTA-#"],
)  # fmt: skip
def test_what_is_no_invite_code_is_refused(code: str | None) -> None:
    with pytest.raises(ValueError, match="code"):
        render(TextKind.INVITE, "en", code=code)


@pytest.mark.parametrize(
    "host",
    ["", "https://a.example", "a.example/path", "A.EXAMPLE", "a b", "a.example\n", "é.example", "x" * 101,
     "a123456b.example"],
)  # fmt: skip
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="host"):
        render(TextKind.OTP, "en", code="839217", host=host)


@pytest.mark.parametrize("app_hash", ["", "short", "FA+9qCX9VS u", "FA+9qCX9VSu1", "12345678901"])
def test_what_is_no_app_hash_is_refused(app_hash: str) -> None:
    with pytest.raises(ValueError, match="app_hash"):
        render(TextKind.OTP, "en", code="839217", app_hash=app_hash)


@pytest.mark.parametrize(
    "brand",
    ["", " x", "x ", "a" * 21, "a\nb", "a\u202eb", "a\u200bb", "http://x", "x/y", "@x",
     "win #1!", "a123456", "a١٢٣٤٥٦", "{code}"],
)  # fmt: skip
def test_a_brand_that_could_smuggle_something_in_is_refused(brand: str) -> None:
    with pytest.raises(ValueError, match="brand"):
        render(TextKind.OTP, "en", code="839217", brand=brand)


@pytest.mark.parametrize(
    "brand", ["Identity", "AT&T", "Ben & Jerry's", "В контакте", "हिन्दी", "微信", "3M", "St. John-Co."]
)
def test_names_of_many_scripts_are_brands(brand: str) -> None:
    assert brand in render(TextKind.OTP, "en", code="839217", brand=brand).body


def test_what_an_operator_sets_can_be_checked_at_start() -> None:
    check_parts(host="127.0.0.1", app_hash=APP_HASH, brand="Identity")
    for part, wrong in (("host", "under_score.example"), ("app_hash", "x"), ("brand", "")):
        with pytest.raises(ValueError, match=part):
            check_parts(**{part: wrong})


@pytest.mark.parametrize("hours", [None, 0, -1, 1000])
def test_a_held_recovery_says_when(hours: int | None) -> None:
    with pytest.raises(ValueError, match="hours"):
        render(TextKind.RECOVERY_HELD, "en", hours=hours)


def test_a_text_in_a_log_line_hides_its_code() -> None:
    assert "839217" not in repr(render(TextKind.OTP, "en", code="839217"))
