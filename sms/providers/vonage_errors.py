"""Vonage's codes: `status` in the answer to a send, and `err-code` in a delivery receipt."""

from collections.abc import Mapping
from typing import Final

from sms.providers.base import FailureKind
from sms.providers.errors import (
    BLOCKED_BY_CARRIER,
    NO_SUCH_NUMBER,
    NOT_THIS_COUNTRY,
    OPTED_OUT,
    SWITCHED_OFF,
    Meaning,
    meaning,
)

_FRAUD: Final = FailureKind.FRAUD
_REJECTED: Final = FailureKind.REJECTED
_WRONG: Final = FailureKind.WRONG_NUMBER
_THROTTLED: Final = FailureKind.THROTTLED
_UNAVAILABLE: Final = FailureKind.UNAVAILABLE

SEND_ERRORS: Final[Mapping[str, Meaning]] = {
    "1": meaning(_THROTTLED),  # throttled
    "2": meaning(_REJECTED),  # missing parameters
    "3": meaning(_REJECTED),  # invalid parameters
    "4": meaning(_REJECTED),  # invalid credentials
    "5": meaning(_UNAVAILABLE),  # internal error
    "6": meaning(_WRONG, NO_SUCH_NUMBER),  # invalid message, e.g. an unknown prefix
    "7": meaning(_WRONG, OPTED_OUT),  # number barred
    "8": meaning(_REJECTED),  # partner account barred
    "9": meaning(_REJECTED),  # partner quota violation: no credit
    "10": meaning(_THROTTLED),  # too many existing binds
    "11": meaning(_REJECTED),  # account not enabled for HTTP
    "12": meaning(_REJECTED),  # message too long
    "14": meaning(_REJECTED),  # invalid signature
    "15": meaning(_REJECTED),  # invalid sender address
    "22": meaning(_WRONG, NO_SUCH_NUMBER),  # invalid network code
    "23": meaning(_REJECTED),  # invalid callback URL
    "29": meaning(_REJECTED),  # destination is not on the trial account's list
    "32": meaning(_REJECTED),  # signature and secret both given
    "33": meaning(_WRONG, NO_SUCH_NUMBER),  # number deactivated
}

RECEIPT_ERRORS: Final[Mapping[str, Meaning]] = {
    "1": meaning(_UNAVAILABLE),  # unknown
    "2": meaning(_UNAVAILABLE, SWITCHED_OFF),  # absent subscriber, temporary
    "3": meaning(_WRONG, NO_SUCH_NUMBER),  # absent subscriber, permanent
    "4": meaning(_WRONG, OPTED_OUT),  # barred by the user
    "5": meaning(_UNAVAILABLE),  # portability error
    "6": meaning(_REJECTED, BLOCKED_BY_CARRIER),  # anti-spam rejection
    "7": meaning(_UNAVAILABLE, SWITCHED_OFF),  # handset busy
    "8": meaning(_UNAVAILABLE),  # network error
    "9": meaning(_WRONG, OPTED_OUT),  # illegal number: the owner wants no messages
    "10": meaning(_REJECTED),  # illegal message
    "11": meaning(_REJECTED, NOT_THIS_COUNTRY),  # unroutable
    "12": meaning(_WRONG, NO_SUCH_NUMBER),  # destination unreachable
    "13": meaning(_REJECTED, BLOCKED_BY_CARRIER),  # subscriber's age
    "14": meaning(_REJECTED, BLOCKED_BY_CARRIER),  # number blocked by the carrier
    "15": meaning(_REJECTED),  # prepaid, no credit
    "99": meaning(_UNAVAILABLE),  # general error
}
