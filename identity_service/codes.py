"""Invite codes: what they look like, how forgiving they are read, and when a typing error is told.

Two kinds, both random and stored only as keyed hashes:

- a *typed* code goes by SMS or from mouth to mouth: 14 Crockford base-32 symbols (70 bits) and Crockford's
  check symbol, in groups: ``7KQ4M-2XD9P-TA3HK``;
- a *link* code stands in a URL: 26 symbols (130 bits) and a check symbol.

The check symbol (value modulo 37, https://www.crockford.com/base32.html) finds every single wrong symbol and
every swap of two neighbours, so that a typing error is told apart from a miss without asking the store and
without costing an attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from identity_service.ports import Entropy

_SYMBOLS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHECK_SYMBOLS: Final = _SYMBOLS + "*~$=U"
_VALUES: Final = {symbol: value for value, symbol in enumerate(_SYMBOLS)} | {"O": 0, "I": 1, "L": 1}
_CHECK_VALUES: Final = _VALUES | {symbol: value for value, symbol in enumerate(_CHECK_SYMBOLS) if value >= 32}
_FORGIVEN: Final = str.maketrans("", "", "- \u2010\u2011\u2012\u2013\u2014\u2212")

TYPED_SYMBOLS: Final = 14
LINK_SYMBOLS: Final = 26
_GROUPS: Final = {TYPED_SYMBOLS: (5, 5), LINK_SYMBOLS: (5, 6, 5, 6)}
LONGEST_INPUT: Final = 64


class CodeMalformed(ValueError):
    """Not a code at all: wrong length or foreign symbols."""


class CodeMistyped(ValueError):
    """The check symbol does not fit: a typing error, not a miss."""


@dataclass(frozen=True, slots=True)
class InviteCode:
    """A code in its one canonical form: upper case, no dashes, the check symbol last."""

    canonical: str

    def __str__(self) -> str:
        """Return the code as people see it: upper case, in dash-joined groups of at least three."""
        body, at, groups = self.canonical, 0, []
        for width in _GROUPS[len(body) - 1]:
            groups.append(body[at : at + width])
            at += width
        return "-".join([*groups, body[at:]])

    def __repr__(self) -> str:
        return "InviteCode(…)"  # a code must not reach a log through a traceback


def new_code(entropy: Entropy, *, symbols: int = TYPED_SYMBOLS) -> InviteCode:
    """Draw a uniform code.

    Drawn again are codes whose text holds a run of six or more digits (a phone's autofill could take them
    for a one-time code) and those whose check symbol is punctuation (hard to find on a phone's keyboard, and
    lost at the end of a link); both together cost less than a third of a bit.
    """
    while True:
        value = entropy.below(32**symbols)
        body = "".join(_SYMBOLS[value >> shift & 31] for shift in range(5 * (symbols - 1), -1, -5))
        code = InviteCode(body + _CHECK_SYMBOLS[value % 37])
        if code.canonical.isalnum() and not (symbols == TYPED_SYMBOLS and _has_digit_run(str(code))):
            return code


def _has_digit_run(text: str, length: int = 6) -> bool:
    run = 0
    for symbol in text:
        run = run + 1 if symbol.isdigit() else 0
        if run >= length:
            return True
    return False


def read_code(text: str) -> InviteCode:
    """Read a code as people type it: any case, dashes and blanks anywhere, O for 0, I and L for 1.

    Raises:
        CodeMalformed: wrong length or a symbol that no code has.
        CodeMistyped: everything fits but the check symbol.
    """
    if len(text) > LONGEST_INPUT or not text.isprintable():
        raise CodeMalformed("not an invite code")
    bare = text.translate(_FORGIVEN).upper()
    if len(bare) - 1 not in _GROUPS or not bare.isascii():
        raise CodeMalformed("not an invite code")
    value = 0
    try:
        for symbol in bare[:-1]:
            value = value << 5 | _VALUES[symbol]
        check = _CHECK_VALUES[bare[-1]]
    except KeyError:
        raise CodeMalformed("not an invite code") from None
    if value % 37 != check:
        raise CodeMistyped("a symbol was mistyped")
    canonical = "".join(_SYMBOLS[_VALUES[symbol]] for symbol in bare[:-1]) + _CHECK_SYMBOLS[check]
    return InviteCode(canonical)
