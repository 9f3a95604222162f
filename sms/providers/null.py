"""A provider that takes every message and sends none, for load tests and for switching SMS off."""

from typing import NoReturn

from sms.providers.base import Accepted, Callback, OutgoingMessage, ReceiptRefusal, ReceiptRefused
from sms.segments import count
from sms.states import DeliveryState


class NullProvider:
    """Accepts and forgets. Claims no more than `sent`: nothing was delivered."""

    @property
    def name(self) -> str:
        """`null`."""
        return "null"

    def send(self, message: OutgoingMessage) -> Accepted:
        """Say that it was sent. Never fails."""
        return Accepted(
            provider=self.name,
            provider_id=message.attempt_id,
            state=DeliveryState.SENT,
            segments=count(message.body).segments,
        )

    def parse_receipt(self, callback: Callback) -> NoReturn:
        """Refuse: nothing was sent, so nothing can be reported.

        Raises
        ------
        ReceiptRefused
            Always.
        """
        del callback
        raise ReceiptRefused(ReceiptRefusal.UNSUPPORTED, "nothing is sent, so nothing is reported")

    def close(self) -> None:
        """Nothing is held."""
