"""Phone numbers: what is accepted, which kind it is, its one canonical form, and its mask.

Takes only ASCII `+` and digits. Everything else that people and libraries accept as a phone
number (spaces, `tel:`, extensions, letters on a keypad, other scripts' digits, invisible
characters) is refused, because two spellings of one number would be two members.

There is deliberately no cache in front of `parse`: it would keep full numbers in memory long
after their request, in every worker, where a core dump or a debugger finds them.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NewType, assert_never

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType

from sms.renumbered import current_form

E164 = NewType("E164", str)
"""A number in canonical E.164 form, as `parse` returned it: `+`, country code, number."""

NO_COUNTRY: Final = "001"
"""`country` of numbers that belong to no country (satellite and international networks)."""

# 0.7 µs, where phonenumbers takes about 100: most rubbish never reaches the parser. ITU-T E.164
# allows at most 15 digits and no country code begins with 0.
_SHAPE: Final = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)


class NumberKind(StrEnum):
    """What a number is used for, as far as its digits tell."""

    MOBILE = "mobile"
    FIXED_LINE = "fixed_line"
    FIXED_OR_MOBILE = "fixed_or_mobile"
    VOIP = "voip"
    PERSONAL = "personal"
    TOLL_FREE = "toll_free"
    PREMIUM = "premium"
    SHARED_COST = "shared_cost"
    PAGER = "pager"
    COMPANY = "company"
    VOICEMAIL = "voicemail"
    UNKNOWN = "unknown"


SELECTABLE_KINDS: Final = frozenset(
    {
        NumberKind.MOBILE,
        NumberKind.FIXED_OR_MOBILE,
        NumberKind.FIXED_LINE,
        NumberKind.VOIP,
        NumberKind.PERSONAL,
    }
)
"""The kinds that a setting may allow. The others cost the sender or the owner money, or are
answered by a machine; no setting opens them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberPolicy:
    """Which numbers may be written to.

    The default is what a person carries: mobiles, and the numbers of countries (such as the
    United States) whose mobiles look like landlines. `international_networks` opens satellite
    phones and the like, where one message can cost as much as a hundred.

    Raises
    ------
    ValueError
        When a kind that must never be written to (premium, shared cost, ...) is allowed.
    """

    kinds: frozenset[NumberKind] = frozenset({NumberKind.MOBILE, NumberKind.FIXED_OR_MOBILE})
    international_networks: bool = False

    def __post_init__(self) -> None:
        forbidden = self.kinds - SELECTABLE_KINDS
        if forbidden:
            raise ValueError(f"these kinds of number can not be allowed: {', '.join(sorted(forbidden))}")


DEFAULT_POLICY: Final = NumberPolicy()


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """A number that may be written to.

    `country` is the ISO 3166-1 alpha-2 code (`NO_COUNTRY` where there is none). Its `repr` is
    masked, so that a traceback or a log line with a `Number` in it does not leak one.
    """

    e164: E164
    country: str
    kind: NumberKind

    def __repr__(self) -> str:
        return f"Number({mask(self.e164)}, {self.country}, {self.kind.value})"


class Refusal(StrEnum):
    """The stable codes of `NumberRefused`."""

    MALFORMED = "phone_malformed"
    UNASSIGNED = "phone_unassigned"
    KIND_REFUSED = "phone_kind_refused"


class NumberRefused(ValueError):
    """A phone number that is not accepted.

    Attributes
    ----------
    code : Refusal
        Stable, for programs.
    detail : str
        For people. Never contains the number.
    """

    def __init__(self, code: Refusal, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def parse(raw: object, policy: NumberPolicy = DEFAULT_POLICY) -> Number:
    """Read a phone number that came from outside.

    Parameters
    ----------
    raw
        Anything. Only a `str` of ASCII `+` and 7 to 15 digits can succeed.
    policy
        Which kinds are let through.

    Returns
    -------
    Number
        In its canonical form: a trunk prefix that slipped in is dropped, and a number written as
        it was before its country renumbered is the number it is today.

    Raises
    ------
    NumberRefused
        `phone_malformed`, `phone_unassigned` (no such number can exist) or `phone_kind_refused`.

    Examples
    --------
    >>> parse("+22990011234").e164 == parse("+2290190011234").e164
    True
    >>> parse("tel:+14155552671")
    Traceback (most recent call last):
    ...
    sms.numbers.NumberRefused: a phone number is '+' and 7 to 15 ASCII digits
    """
    if not isinstance(raw, str) or _SHAPE.fullmatch(raw) is None:
        raise NumberRefused(Refusal.MALFORMED, "a phone number is '+' and 7 to 15 ASCII digits")
    parsed = _parsed(raw)
    country = phonenumbers.region_code_for_number(parsed)
    # What is of a kind is a valid number, and what is valid is of a kind: asking for both costs twice.
    kind = NumberKind.UNKNOWN if country is None else _kind(parsed)
    if country is None or kind is NumberKind.UNKNOWN:
        raise _unassigned()
    if country == NO_COUNTRY and not policy.international_networks:
        raise NumberRefused(Refusal.KIND_REFUSED, "numbers of international networks are not accepted")
    if kind not in policy.kinds:
        raise NumberRefused(Refusal.KIND_REFUSED, _why_refused(kind))
    return Number(e164=_canonical(parsed), country=country, kind=kind)


def mask(e164: E164) -> str:
    """Show a number so that its owner knows it and nobody else learns it.

    Keeps the country code and the last two digits; of a number with fewer than six digits after
    the country code only the last one, since two of four would leave a hundred candidates. The
    stars are always nine: their count would tell the number's length.

    Examples
    --------
    >>> mask(E164("+79161234567"))
    '+7*********67'
    >>> mask(E164("+6834002"))
    '+683*********2'
    """
    code, national = _split_country_code(e164)
    kept = 2 if len(national) >= 6 else 1
    return f"+{code}{'*' * 9}{national[-kept:]}"


def country_code(e164: E164) -> str:
    """Return a number's country code, without the `+`.

    Examples
    --------
    >>> country_code(E164("+79161234567"))
    '7'
    """
    return _split_country_code(e164)[0]


def _parsed(raw: str) -> PhoneNumber:
    """Parse into what may be a number today, or refuse."""
    try:
        return phonenumbers.parse(current_form(raw), None)
    except NumberParseException:
        raise _unassigned() from None


def _unassigned() -> NumberRefused:
    return NumberRefused(Refusal.UNASSIGNED, "this phone number is not assigned in any country")


def _canonical(parsed: PhoneNumber) -> E164:
    return E164(phonenumbers.format_number(parsed, PhoneNumberFormat.E164))


def _split_country_code(e164: str) -> tuple[str, str]:
    # ITU-T E.164 country codes are prefix-free and one to three digits long.
    digits = e164.removeprefix("+")
    for length in (1, 2, 3):
        if int(digits[:length]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return digits[:length], digits[length:]
    return digits[:1], digits[1:]


_KINDS: Final[dict[int, NumberKind]] = {
    PhoneNumberType.MOBILE: NumberKind.MOBILE,
    PhoneNumberType.FIXED_LINE: NumberKind.FIXED_LINE,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: NumberKind.FIXED_OR_MOBILE,
    PhoneNumberType.VOIP: NumberKind.VOIP,
    PhoneNumberType.PERSONAL_NUMBER: NumberKind.PERSONAL,
    PhoneNumberType.TOLL_FREE: NumberKind.TOLL_FREE,
    PhoneNumberType.PREMIUM_RATE: NumberKind.PREMIUM,
    PhoneNumberType.SHARED_COST: NumberKind.SHARED_COST,
    PhoneNumberType.PAGER: NumberKind.PAGER,
    PhoneNumberType.UAN: NumberKind.COMPANY,
    PhoneNumberType.VOICEMAIL: NumberKind.VOICEMAIL,
}


def _kind(parsed: PhoneNumber) -> NumberKind:
    return _KINDS.get(phonenumbers.number_type(parsed), NumberKind.UNKNOWN)


def _why_refused(kind: NumberKind) -> str:
    match kind:
        case NumberKind.FIXED_LINE:
            return "this number is a landline and can not take text messages"
        case NumberKind.VOIP | NumberKind.PERSONAL:
            return "internet and forwarding numbers are not accepted"
        case NumberKind.PREMIUM | NumberKind.SHARED_COST | NumberKind.TOLL_FREE:
            return "service numbers that cost or are paid for by someone else are not accepted"
        case NumberKind.PAGER | NumberKind.COMPANY | NumberKind.VOICEMAIL | NumberKind.UNKNOWN:
            return "this number does not belong to a person's phone"
        case NumberKind.MOBILE | NumberKind.FIXED_OR_MOBILE:
            return "this kind of number is not accepted here"
        case _:
            assert_never(kind)
