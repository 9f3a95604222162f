"""A message's story, told to a person: what happened to it, in words, and what there is to do next.

A timeline is a list of facts in the order in which they became known. Each has a `Happening`, and the
words here say it without a number, a code or a provider's jargon. `next_step` turns what is known into
one piece of advice, so that "nothing happened" is never the end of the story.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import phonenumbers

from sms.providers.base import FailureKind
from sms.states import DeliveryState


class Happening(StrEnum):
    """What can happen to a message, in the order of a journey that goes well.

    `accepted` and `refused` are a provider's answers to one attempt; `sent`, `delivered`,
    `undelivered` and `failed` are its later reports; `given_up` and `withdrawn` are our own ends;
    `not_received` and `came_back` are what the person with the phone says or does.
    """

    QUEUED = "queued"
    REFUSED = "refused"
    ACCEPTED = "accepted"
    SENT = "sent"
    FAILED = "failed"
    UNDELIVERED = "undelivered"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    WITHDRAWN = "withdrawn"
    REPLAYED = "replayed"
    NOT_RECEIVED = "not_received"
    CAME_BACK = "came_back"


class ConfirmedBy(StrEnum):
    """Whose word a delivery is."""

    CARRIER = "carrier"
    PHONE = "phone"


_WORDS: Final = {
    Happening.QUEUED: "It waits to be sent.",
    Happening.REFUSED: "A provider did not take it.",
    Happening.ACCEPTED: "A provider took it.",
    Happening.SENT: "It is with the phone company.",
    Happening.FAILED: "It was not sent.",
    Happening.UNDELIVERED: "The phone company could not deliver it.",
    Happening.DELIVERED: "It reached the phone.",
    Happening.GIVEN_UP: "No provider took it. An operator can send it again.",
    Happening.WITHDRAWN: "It was over before it could be sent.",
    Happening.REPLAYED: "An operator sends it again.",
    Happening.NOT_RECEIVED: "Its reader says that it did not come.",
    Happening.CAME_BACK: "Its code was entered.",
}
_CARRIERS_WORD: Final = "The phone company says that it delivered it; the phone itself was not asked."

# Networks under country code 1 report what they handed to the next network, never what a phone took.
_CARRIER_LEVEL: Final = frozenset({1})


def confirmed_by(country: str) -> ConfirmedBy:
    """Say whose word "delivered" is in a country.

    Examples
    --------
    >>> confirmed_by("US"), confirmed_by("RU")
    (<ConfirmedBy.CARRIER: 'carrier'>, <ConfirmedBy.PHONE: 'phone'>)
    """
    code = phonenumbers.country_code_for_region(country)
    return ConfirmedBy.CARRIER if code in _CARRIER_LEVEL else ConfirmedBy.PHONE


def words(happening: Happening, country: str, plain: str | None = None) -> str:
    """Say what happened; `plain` is what a provider's table says of it, and wins where it is told."""
    if happening is Happening.DELIVERED and confirmed_by(country) is ConfirmedBy.CARRIER:
        return _CARRIERS_WORD
    return plain or _WORDS[happening]


class Step(StrEnum):
    """What there is to do about a message."""

    NOTHING = "nothing"
    WAIT = "wait"
    RESEND = "resend"
    USE_LINK = "use_link"
    START_AGAIN = "start_again"


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """One step, its words, and from when on it may be taken (the caller's unit; `None`: at once or never)."""

    step: Step
    words: str
    at: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is known of a thing that a message is about.

    `over` it has come to its end; `came_back` its code was used; `failure` why the last attempt went
    wrong; `resend_at` when the next message may go, `None` where none may; `by_link` whether a link
    could be used in place of a message.
    """

    over: bool
    came_back: bool
    state: DeliveryState
    failure: FailureKind | None = None
    resend_at: int | None = None
    by_link: bool = False


_HOPELESS: Final = frozenset({FailureKind.WRONG_NUMBER, FailureKind.FRAUD, FailureKind.REJECTED})


def next_step(known: Known, *, now: int) -> Advice:
    """Advise.

    Examples
    --------
    >>> lost = Known(over=False, came_back=False, state=DeliveryState.UNDELIVERED, resend_at=30)
    >>> next_step(lost, now=10).step, next_step(lost, now=10).at
    (<Step.RESEND: 'resend'>, 30)
    """
    if known.came_back:
        return Advice(step=Step.NOTHING, words="Its code was used.")
    if known.over:
        return Advice(step=Step.START_AGAIN, words="Its time is over. Start again.")
    ended = known.state in {DeliveryState.FAILED, DeliveryState.UNDELIVERED}
    if ended and known.failure in _HOPELESS:
        if known.by_link:
            return Advice(step=Step.USE_LINK, words="Sending again will not help. Use an invite link.")
        return Advice(step=Step.START_AGAIN, words="Sending again will not help. Use another number.")
    arrived = known.state is DeliveryState.DELIVERED
    if known.resend_at is None:
        return Advice(step=Step.WAIT, words="No other message can go before this one's time is over.")
    if known.resend_at > now:
        missing = "If it is not on the phone" if arrived else "If it does not come"
        return Advice(step=Step.RESEND, words=f"{missing}, send it again then.", at=known.resend_at)
    missing = "If it is not on the phone" if arrived else "If it did not come"
    return Advice(step=Step.RESEND, words=f"{missing}, send it again.", at=known.resend_at)
