"""What a message says, in the reader's language.

Texts live in Babel catalogues (`sms/locales/<locale>.po`), keyed by the kind of message, English
too. They are read from the `.po` files once a process: no compiled file can be older than its
source, and an editable install and a wheel behave the same.

Nothing that a user typed stands in a message. The only variable parts are codes we made, and the
operator's brand, host and app hash; each is checked against a strict shape, so that no text can be
turned into an advertisement or a phishing link, and no run of 6 to 8 digits stands in a text
beside a one-time code.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Final, assert_never
from unicodedata import category

from babel.core import negotiate_locale
from babel.messages.pofile import read_po

from sms.segments import Segments, count

LOCALES: Final = ("en", "ru", "es", "uk", "ar", "zh")
DEFAULT_LOCALE: Final = "en"
DEFAULT_BRAND: Final = "Identity"

_OTP: Final = re.compile(r"[0-9]{6,8}", re.ASCII)
# Dash-joined upper-case groups, the first of three or more; the last may be a Crockford check symbol.
_INVITE_CODE: Final = re.compile(r"[0-9A-Z]{3,5}(?:-[0-9A-Z]{1,5}){1,6}(?:-?[*~$=U])?", re.ASCII)
# A DNS name or localhost, with an optional port: what WebOTP calls the origin-bound domain.
_HOST: Final = re.compile(r"(?=.{1,100}$)[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::[0-9]{1,5})?", re.ASCII)
_APP_HASH: Final = re.compile(r"[A-Za-z0-9+/]{11}", re.ASCII)
_BRAND_LENGTH: Final = 20
_BRAND_PUNCTUATION: Final = frozenset(" .&'-")
# Any script's digits: a phone may offer those to be filled in, too.
_LONG_DIGIT_RUN: Final = re.compile(r"\d{6,}")

# Before a group of digits and letters in a right-to-left text: without a strong left-to-right
# character in front, "123-ABC" is shown as "ABC-123" (Unicode Bidirectional Algorithm, W2 and N1).
_LEFT_TO_RIGHT_MARK: Final = "\u200e"
_RIGHT_TO_LEFT: Final = frozenset({"ar"})


class TextKind(StrEnum):
    """The messages there are.

    A new kind needs two entries in every catalogue, itself and `<kind>.short`; a test says so.
    """

    OTP = "otp"
    INVITE = "invite"
    RECOVERY_HELD = "recovery_held"
    RECOVERY_GRANTED = "recovery_granted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A finished message: its body (kept out of `repr`), its language and its size."""

    body: str = field(repr=False)
    locale: str
    segments: Segments


def render(
    kind: TextKind,
    locale: str | None = None,
    *,
    code: str | None = None,
    host: str | None = None,
    app_hash: str | None = None,
    brand: str = DEFAULT_BRAND,
    hours: int | None = None,
) -> Text:
    """Write one message.

    Parameters
    ----------
    kind
        Which message.
    locale
        A BCP 47 tag as the client gave it (`ru-RU`, `zh_Hans`, `es-419`); see `negotiate`.
    code
        For `otp` the digits, for `invite` the code as it is shown, in groups. Required there, and
        refused for notices: a notice never carries a code.
    host
        The site's domain, without a scheme. In an `otp` it becomes the last line, `@host #code`,
        by which a browser fills the code in on that site only; in an `invite` it says where to go.
        Notices do not use it.
    app_hash
        The 11-character hash of an Android app; used in an `otp`.
    brand
        The service's name, at most 20 characters.
    hours
        For `recovery_held`: until the account opens, 1 to 999.

    Returns
    -------
    Text

    Raises
    ------
    ValueError
        When a part is missing, does not belong to the kind, or has not the shape it must have.
        The message names the part and never contains a code.

    References
    ----------
    Origin-bound one-time codes delivered via SMS (WICG), for the last line; Google's SMS Retriever
    documentation, for the hash.

    Examples
    --------
    >>> print(render(TextKind.OTP, "en-GB", code="123456", host="example.org").body)
    Identity code: 123456. Never share it.
    @example.org #123456
    """
    chosen = negotiate(locale)
    check_parts(host=host, app_hash=app_hash, brand=brand)
    values = {"brand": brand}
    tail: list[str] = []
    match kind:
        case TextKind.OTP:
            digits = _required("code", code, _OTP)
            values["code"] = digits
            tail = _otp_tail(digits, host, app_hash)
        case TextKind.INVITE:
            shown = _required("code", code, _INVITE_CODE)
            values["code"] = _LEFT_TO_RIGHT_MARK + shown if chosen in _RIGHT_TO_LEFT else shown
            tail = [host] if host else []
        case TextKind.RECOVERY_HELD:
            _refuse_code(code)
            values["hours"] = _hours(hours)
        case TextKind.RECOVERY_GRANTED:
            _refuse_code(code)
        case _:
            assert_never(kind)
    return _fitted(kind, chosen, values, tail)


def negotiate(tag: str | None) -> str:
    """Find the language to write in.

    `ru-RU` and `ru_RU` are `ru`; every Chinese is `zh`; what is unknown, empty or no tag at all
    is English.

    Examples
    --------
    >>> negotiate("zh-Hant-TW"), negotiate("tlh"), negotiate(None)
    ('zh', 'en', 'en')
    """
    # RFC 5646 asks for room for 35 characters; a longer tag is nobody's language.
    if not tag or len(tag) > 35:
        return DEFAULT_LOCALE
    wanted = tag.lower().replace("_", "-")
    return negotiate_locale([wanted, wanted.split("-", 1)[0]], LOCALES, sep="-") or DEFAULT_LOCALE


def check_parts(*, host: str | None = None, app_hash: str | None = None, brand: str = DEFAULT_BRAND) -> None:
    """Check what an operator sets, once at start, so that no message fails on it later.

    Raises
    ------
    ValueError
        Names the part that has not the shape it must have in a message.

    Examples
    --------
    >>> check_parts(host="join.example.org", brand="В контакте")
    """
    for part, value, well_formed in (
        ("host", host, host is None or _HOST.fullmatch(host) is not None),
        ("app_hash", app_hash, app_hash is None or _APP_HASH.fullmatch(app_hash) is not None),
        ("brand", brand, _is_brand(brand)),
    ):
        if not well_formed:
            raise ValueError(f"{part} has not the shape it must have")
        if value is not None and _LONG_DIGIT_RUN.search(value):
            raise ValueError(f"{part} holds a run of digits that a phone would take for a code")


def _fitted(kind: TextKind, locale: str, values: Mapping[str, str], tail: list[str]) -> Text:
    """Use the full words where they fit one segment, and fewer words before a second one is paid."""
    catalogue = _catalogue(locale)
    full, short = (
        "\n".join([catalogue[key].format_map(values), *tail]) for key in (kind.value, f"{kind.value}.short")
    )
    body = full if count(full).segments == 1 else short
    return Text(body=body, locale=locale, segments=count(body))


def _otp_tail(code: str, host: str | None, app_hash: str | None) -> list[str]:
    # WebOTP reads only the very last line, and nothing may stand before its '@'.
    return [line for line in (app_hash, f"@{host} #{code}" if host else None) if line is not None]


def _is_brand(brand: str) -> bool:
    # Letters, marks and digits of any script. Line breaks, bidi controls and whatever makes a
    # link (":", "/", "@") are none of these.
    allowed = all(category(c)[0] in "LMN" or c in _BRAND_PUNCTUATION for c in brand)
    return allowed and 1 <= len(brand) <= _BRAND_LENGTH and brand == brand.strip()


def _required(part: str, value: str | None, shape: re.Pattern[str]) -> str:
    if value is None or shape.fullmatch(value) is None:
        raise ValueError(f"{part} is missing or has not the shape it must have")
    return value


def _refuse_code(code: str | None) -> None:
    if code is not None:
        raise ValueError("a notice carries no code")


def _hours(hours: int | None) -> str:
    if hours is None or not 1 <= hours <= 999:
        raise ValueError("hours is missing or not between 1 and 999")
    return str(hours)


@cache
def _catalogue(locale: str) -> Mapping[str, str]:
    """Read one catalogue. It holds our own words only, so keeping it keeps nothing private."""
    with (files("sms") / "locales" / f"{locale}.po").open("rb") as source:
        return {
            str(message.id): str(message.string) for message in read_po(source, locale=locale) if message.id
        }
