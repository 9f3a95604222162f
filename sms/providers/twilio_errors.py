"""Twilio's error codes for messages, as its error dictionary describes them."""

from collections.abc import Mapping
from typing import Final

from sms.providers.base import FailureKind
from sms.providers.errors import (
    BLOCKED_BY_CARRIER,
    EXPIRED,
    LANDLINE,
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

TWILIO_ERRORS: Final[Mapping[str, Meaning]] = {
    # Answers to the request.
    "14107": meaning(_THROTTLED),  # message rate limit exceeded
    "20003": meaning(_REJECTED),  # authenticate
    "20404": meaning(_REJECTED),  # resource not found
    "20429": meaning(_THROTTLED),  # too many requests
    "20500": meaning(_UNAVAILABLE),  # internal server error
    "20503": meaning(_UNAVAILABLE),  # service unavailable
    "21211": meaning(_WRONG, NO_SUCH_NUMBER),  # invalid 'To'
    "21212": meaning(_REJECTED),  # invalid 'From'
    "21214": meaning(_WRONG, NO_SUCH_NUMBER),  # 'To' can not be reached
    "21217": meaning(_WRONG, NO_SUCH_NUMBER),  # does not appear to be valid
    "21265": meaning(_WRONG),  # 'To' can not be a short code
    "21266": meaning(_WRONG),  # 'To' and 'From' are the same
    "21408": meaning(_REJECTED, NOT_THIS_COUNTRY),  # region not enabled
    "21601": meaning(_REJECTED),  # 'From' can not send SMS
    "21602": meaning(_REJECTED),  # body is required
    "21603": meaning(_REJECTED),  # 'From' is required
    "21604": meaning(_REJECTED),  # 'To' is required
    "21606": meaning(_REJECTED),  # 'From' is not a message-capable number of this account
    "21608": meaning(_REJECTED),  # a trial account may write to verified numbers only
    "21609": meaning(_REJECTED),  # invalid StatusCallback
    "21610": meaning(_WRONG, OPTED_OUT),  # recipient sent STOP
    "21611": meaning(_THROTTLED),  # the queue of 'From' is full
    "21612": meaning(_REJECTED, NOT_THIS_COUNTRY),  # no route from 'From' to 'To'
    "21614": meaning(_WRONG, LANDLINE),  # 'To' is not a mobile number
    "21617": meaning(_REJECTED),  # body is too long
    "21703": meaning(_REJECTED),  # the messaging service has no senders
    "21704": meaning(_REJECTED),  # the messaging service has no sender for this country
    "21705": meaning(_REJECTED),  # the messaging service does not exist
    # What became of an accepted message.
    "30001": meaning(_THROTTLED),  # queue overflow
    "30002": meaning(_REJECTED),  # account suspended
    "30003": meaning(_UNAVAILABLE, SWITCHED_OFF),  # unreachable destination handset
    "30004": meaning(_REJECTED, BLOCKED_BY_CARRIER),  # message blocked
    "30005": meaning(_WRONG, NO_SUCH_NUMBER),  # unknown destination handset
    "30006": meaning(_WRONG, LANDLINE),  # landline or unreachable carrier
    "30007": meaning(_REJECTED, BLOCKED_BY_CARRIER),  # message filtered
    "30008": meaning(_UNAVAILABLE),  # unknown error
    "30010": meaning(_REJECTED),  # price exceeds maximum
    "30022": meaning(_THROTTLED),  # US A2P 10DLC rate limit
    "30023": meaning(_THROTTLED),  # US A2P 10DLC daily cap
    "30032": meaning(_REJECTED),  # toll-free sender is not verified
    "30034": meaning(_REJECTED),  # US A2P 10DLC sender is not registered
    "30036": meaning(_UNAVAILABLE, EXPIRED),  # validity period expired
    "30038": meaning(_REJECTED, BLOCKED_BY_CARRIER),  # one-time code filtered
    "30410": meaning(_UNAVAILABLE),  # carrier timed out
    "30450": meaning(_FRAUD),  # blocked by SMS pumping protection
    "30453": meaning(_FRAUD),  # blocked by SMS pumping protection, longer
}
