"""How many SMS segments a text costs (3GPP TS 23.038 and TS 23.040).

A message that fits the GSM-7 default alphabet carries 160 septets in one segment and 153 in
each of several; one character outside it turns the whole message into UCS-2 with 70 and 67
sixteen-bit units. Providers bill by segment, so this is also what a message costs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

# TS 23.038 section 6.2.1, without the escape (0x1B), which is no character of its own.
_GSM7_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# TS 23.038 section 6.2.1.1: each of these is sent as the escape and one more septet.
_GSM7_EXTENSION = frozenset("\f^{}\\[~]|€")


class Encoding(StrEnum):
    """The alphabet a message is sent in."""

    GSM_7 = "GSM-7"
    UCS_2 = "UCS-2"


@dataclass(frozen=True, kw_only=True, slots=True)
class Segments:
    """The size of a message on the air.

    `units` counts septets for GSM-7 and 16-bit units for UCS-2; `segments` is what is billed.
    """

    encoding: Encoding
    units: int
    segments: int


def count(body: str) -> Segments:
    """Say in which alphabet a body is sent and how many segments it takes.

    Parameters
    ----------
    body
        The text as it would be handed to a provider. Empty is one segment: a network bills it.

    Returns
    -------
    Segments

    References
    ----------
    3GPP TS 23.038 (alphabets), TS 23.040 section 9.2.3.24.1 (concatenation; the six-byte user
    data header is what turns 160 into 153 and 70 into 67).

    Examples
    --------
    >>> count("Your code is 123456")
    Segments(encoding=<Encoding.GSM_7: 'GSM-7'>, units=19, segments=1)
    >>> count("Код 123456").encoding
    <Encoding.UCS_2: 'UCS-2'>
    """
    characters = frozenset(body)
    encoding = Encoding.GSM_7 if characters <= _GSM7_BASIC | _GSM7_EXTENSION else Encoding.UCS_2
    match encoding:
        case Encoding.GSM_7:
            widths = [2 if character in _GSM7_EXTENSION else 1 for character in body]
            single, several = 160, 153
        case Encoding.UCS_2:
            widths = [2 if ord(character) > 0xFFFF else 1 for character in body]
            single, several = 70, 67
        case _:
            assert_never(encoding)
    units = sum(widths)
    return Segments(
        encoding=encoding, units=units, segments=1 if units <= single else _packed(widths, several)
    )


def _packed(widths: Iterable[int], room: int) -> int:
    """Count segments when a two-unit character may not be torn apart at a boundary."""
    segments, used = 1, 0
    for width in widths:
        if used + width > room:
            segments, used = segments + 1, 0
        used += width
    return segments
