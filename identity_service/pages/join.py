"""What the join page says: reading the link's code, choosing the language, filling the address in.

Why the page does not simply redirect to IDENTITY_JOIN_URL: a redirect is followed by every link preview and
scanner, so an opening could not be told from a glance, and the invitee whose app is not installed would lose
the code on the way.  Instead a page is shown, its script tells once that a person sees it, and then leads on;
without scripts there is a button.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from identity_service import wording
from identity_service.codes import LONGEST_INPUT, CodeMalformed, CodeMistyped, InviteCode, read_code

_NOT_OF_A_CODE: Final = re.compile(r"[^0-9A-Z*~$=-]")
_PUNCTUATION: Final = ".,;:!?)]}>\"'»”’…"
"""What messengers and people put behind a link and what then becomes part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteOnPage:
    """What the link says of its invite.

    Attributes:
        shown: the code in groups, or what is code-like in the text where it is none.
        mistyped: the check symbol shows a typing error; known without asking the store.
        onward: where to go on, with the code filled in; empty where no such address is set.
    """

    shown: str
    mistyped: bool
    onward: str


def parse(text: str) -> InviteCode | None:
    """Return the code of a link, or None where the text is none."""
    try:
        return read_code(text.rstrip(_PUNCTUATION))
    except (CodeMalformed, CodeMistyped):
        return None


def read(text: str, join_url: str) -> InviteOnPage:
    """Read a link's code for the page.

    The page has one shape, so something is shown for what is no code, too; but only symbols that a code may
    have, lest somebody writes a sentence of theirs into a link of ours.
    """
    bare = text.rstrip(_PUNCTUATION)
    likely = _NOT_OF_A_CODE.sub("", bare.upper())[:LONGEST_INPUT].strip("-")
    mistyped = False
    try:
        shown = str(read_code(bare))
    except CodeMistyped:
        mistyped, shown = True, str(InviteCode(likely.replace("-", "")))
    except CodeMalformed:
        shown = likely
    return InviteOnPage(
        shown=shown,
        mistyped=mistyped,
        onward=join_url.replace("{code}", quote(shown, safe="")),
    )


def words(locale: str, brand: str) -> Mapping[str, str]:
    """Return the page's sentences with the brand filled in; the template escapes them."""
    found = wording.catalogue("identity_service.pages", locale)
    return {key: text.replace("{brand}", brand) for key, text in found.items()}
