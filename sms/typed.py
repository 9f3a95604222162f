"""What people type into a field for a phone number, turned into what `numbers.parse` reads.

`parse` takes one spelling only, because its callers are programs. A person types blanks, brackets,
a trunk prefix or an international one, in the digits of their script; a form knows the country
that they chose. Nothing is judged here: what makes no number is handed on as it is, and refused
there.
"""

from functools import cache
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

LONGEST_TYPED: Final = 40
COUNTRIES: Final = tuple(sorted(phonenumbers.SUPPORTED_REGIONS))
"""ISO 3166-1 alpha-2 codes of the countries whose numbers are known."""
_EXAMPLES: Final = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


def dialled(text: str, country: str | None) -> str:
    """Return `+` and digits where the text makes a number, else the text without blanks around it.

    Parameters
    ----------
    text
        As it was typed. With `+` or the country's international prefix in front it is a number of
        any country, without one of `country`.
    country
        ISO 3166-1 alpha-2, or `None` where nobody chose one.

    Examples
    --------
    >>> dialled("8 (912) 345-67-89", "RU"), dialled("+44 7400 123456", "RU")
    ('+79123456789', '+447400123456')
    >>> dialled("0049 1512 3456789", "GB"), dialled("07400 123456", None)
    ('+4915123456789', '07400 123456')
    >>> dialled("1-800-FLOWERS", "US"), dialled("201 555 0123 ext. 4", "US")
    ('1-800-FLOWERS', '201 555 0123 ext. 4')
    """
    bare = text.strip()
    if len(bare) > LONGEST_TYPED or any(symbol.isalpha() for symbol in bare):
        return bare  # letters on a keypad, extensions: not what a person's own number is written with
    try:
        parsed = phonenumbers.parse(bare, country)
    except NumberParseException:
        return bare
    if parsed.extension:
        return bare
    return phonenumbers.format_number(parsed, PhoneNumberFormat.E164)


def calling_code(country: str) -> str:
    """Return a country's code with its `+`.

    Examples
    --------
    >>> calling_code("KZ")
    '+7'
    """
    return f"+{phonenumbers.country_code_for_region(country)}"


@cache
def example(country: str) -> str:
    """Return a mobile number of a country that is nobody's, written as it is dialled from abroad.

    Examples
    --------
    >>> example("RU")
    '+7 912 345-67-89'
    """
    for kind in _EXAMPLES:
        number = phonenumbers.example_number_for_type(country, kind)
        if number is not None:
            return phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    return calling_code(country)
