"""What is known of a message's fate, and how reports about it are merged.

Providers report out of order, twice, and late. The states therefore form a chain and two
reports are merged by taking the higher one. `max` is commutative, associative and idempotent,
so whatever the order and however often the same reports come, the result is the same; there
is no sequence number to compare and nothing to lock.
"""

from enum import StrEnum


class DeliveryState(StrEnum):
    """The fate of one message at one provider, in the words of the REST API.

    `none` nothing was handed over; `queued` the provider has it; `sent` a carrier has it;
    `failed` it never left the provider; `undelivered` the carrier gave it up;
    `delivered` the carrier (in a few countries only the carrier, not the handset) took it.
    """

    NONE = "none"
    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"
    UNDELIVERED = "undelivered"
    DELIVERED = "delivered"

    @property
    def is_final(self) -> bool:
        """Whether the message's journey at this provider is over."""
        return self in _FINAL


# `delivered` stands above the two failures on purpose. Carriers time a message out, report it
# undelivered, and deliver it when the phone is switched on again: the good news is the later
# truth. The reverse (delivered, then failed) is only ever a reordered or false report.
_RANK: dict[DeliveryState, int] = {state: rank for rank, state in enumerate(DeliveryState)}
_FINAL = frozenset({DeliveryState.FAILED, DeliveryState.UNDELIVERED, DeliveryState.DELIVERED})


def advance(current: DeliveryState, reported: DeliveryState) -> DeliveryState:
    """Merge a report into what is known.

    Parameters
    ----------
    current, reported
        What is stored, and what a receipt says. Both belong to the *same* message at the same
        provider; another attempt has a state of its own.

    Returns
    -------
    DeliveryState
        Whichever is further along. Never moves backwards.

    Examples
    --------
    >>> advance(DeliveryState.DELIVERED, DeliveryState.SENT)
    <DeliveryState.DELIVERED: 'delivered'>
    >>> advance(DeliveryState.UNDELIVERED, DeliveryState.DELIVERED)
    <DeliveryState.DELIVERED: 'delivered'>
    """
    return max(current, reported, key=_RANK.__getitem__)
