"""Reading a provider's answer of no: tables of codes, and what an HTTP status says by itself."""

from dataclasses import dataclass
from typing import Final

from sms.providers.base import PLAIN_WORDS, FailureKind


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """What a provider's code means to us, and the words that an inviter reads."""

    kind: FailureKind
    plain: str


# The words that several providers' tables share.
SWITCHED_OFF: Final = "The phone is switched off or out of reach. We will try again."
NO_SUCH_NUMBER: Final = "This number does not exist or is no longer in use. Check it."
LANDLINE: Final = "This number is a landline or can not take text messages. Use an invite link instead."
OPTED_OUT: Final = "The owner of this number has asked for no messages. Use an invite link instead."
BLOCKED_BY_CARRIER: Final = "The phone company did not let the message through. Use an invite link instead."
EXPIRED: Final = "The phone could not be reached in time. Send again, or use an invite link."
NO_SERVICE: Final = "The message service does not answer now. We will try again."
NO_ANSWER: Final = "The message service gave no clear answer. If it is not on its way, we will try again."
NOT_THIS_COUNTRY: Final = "We can not send to this country yet. Use an invite link instead."


def meaning(kind: FailureKind, plain: str | None = None) -> Meaning:
    """Write a table's entry; without words of its own it has those of its kind."""
    return Meaning(kind=kind, plain=plain or PLAIN_WORDS[kind])


def meaning_of_status(status: int) -> Meaning:
    """Read an HTTP status that came without a known code."""
    if status == 429:
        return meaning(FailureKind.THROTTLED)
    if status >= 500:
        return unanswered(may_have_been_sent=may_have_acted(status))
    return meaning(FailureKind.REJECTED)


def unanswered(*, may_have_been_sent: bool) -> Meaning:
    """Say that a provider gave no usable answer: it is the service that is down, not the phone."""
    return meaning(FailureKind.UNAVAILABLE, NO_ANSWER if may_have_been_sent else NO_SERVICE)


def may_have_acted(status: int) -> bool:
    """Whether the other side may have taken the message although it answered with an error.

    A 4xx is a no, and 503 says that it was not handled. 500, 502 and 504 come from something in
    the middle of handling, or from a gateway that lost sight of it.
    """
    return status >= 500 and status != 503
