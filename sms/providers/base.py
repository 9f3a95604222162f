"""What every provider adapter promises, and the facts that cross that line.

The contract, which `tests/sms/provider_contract.py` runs against every adapter:

* `send` either returns `Accepted` or raises `ProviderFailure`; nothing else leaves it. It never
  retries by itself: the outbox owns retries, backoff and the budget of time.
* `send` answers within the adapter's timeouts, whatever the other side does.
* `ProviderFailure.may_have_been_sent` is `False` only where the provider surely did not take the
  message (it said no, or no connection was made). A lost reply is `True`.
* `parse_receipt` checks the signature before it believes anything, raises `ReceiptRefused` for
  what is forged or unreadable, has no side effect, and gives equal receipts for equal callbacks.
* An adapter is safe to use from several threads. It logs nothing, keeps no message and no number
  after the call, and its errors carry neither.
* `close` may be called twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Final, Literal, Protocol, Self, runtime_checkable

from sms.numbers import E164
from sms.states import DeliveryState


class FailureKind(StrEnum):
    """Why a message was not sent or not delivered, by what there is to do about it.

    `fraud` the provider suspects abuse: stop sending there; `rejected` our account, sender or
    text was refused: an operator must act, another provider may work; `wrong_number` this number
    takes no messages: no provider will help; `throttled` too fast: later; `unavailable` the
    provider, the network or the phone is down: later, or another provider.
    """

    FRAUD = "fraud"
    REJECTED = "rejected"
    WRONG_NUMBER = "wrong_number"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """What one message cost: an amount, not negative, in an ISO 4217 currency."""

    amount: Decimal
    currency: str

    @classmethod
    def parse(cls, amount: str, currency: str) -> Self:
        """Read what a provider wrote. The sign is dropped: some write what they took away.

        Raises
        ------
        ValueError
            When the amount is no finite number or the currency no three letters.
        """
        try:
            value = abs(Decimal(amount))
        except InvalidOperation:
            raise ValueError("a price must be a number") from None
        if not value.is_finite() or not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
            raise ValueError("a price must be finite and name its currency")
        return cls(amount=value, currency=currency.upper())


@dataclass(frozen=True, kw_only=True, slots=True)
class OutgoingMessage:
    """One message for one phone.

    `attempt_id` names this attempt and is the provider's idempotency key where it has one.
    `country` is the ISO 3166-1 code of `to`. `callback_url` is where receipts go; put the attempt
    in it, so that a receipt finds its message even when the reply to `send` was lost.
    `validity_seconds` is how long the message is worth delivering: a code that expired must not
    arrive. Body and number are kept out of `repr`.
    """

    attempt_id: str
    to: E164 = field(repr=False)
    body: str = field(repr=False)
    country: str
    validity_seconds: int
    channel: Literal["sms"] = "sms"
    callback_url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """The provider took the message. `provider_id` is its name for it, and what receipts carry.

    `segments` and `price` are `None` where the provider does not know them yet.
    """

    provider: str
    provider_id: str
    state: DeliveryState
    segments: int | None = None
    price: Price | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What a provider says became of a message.

    `reported` is the provider's own word, for the operator's timeline. `failure`, `provider_code`
    and `plain` say why, when the state is `failed` or `undelivered`.
    """

    provider: str
    provider_id: str
    state: DeliveryState
    reported: str
    failure: FailureKind | None = None
    provider_code: str | None = None
    plain: str | None = None
    segments: int | None = None
    price: Price | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    """A receipt as it came in over HTTP, before anything in it is believed.

    `public_url` is the address that the provider called, as the *configured* public URL gives it
    (scheme, host, path and query): never rebuilt from the `Host` header, which a forger writes.
    `params` are the form or query parameters, `body` the raw bytes. Header names in any case.
    """

    public_url: str
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """Look a header up as HTTP does, without regard to case."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), None)


class ReceiptRefusal(StrEnum):
    """The stable codes of `ReceiptRefused`."""

    FORGED = "receipt_forged"
    MALFORMED = "receipt_malformed"
    UNSUPPORTED = "receipt_unsupported"


class ReceiptRefused(Exception):
    """A callback that is not believed. `code` is stable; the message names no number."""

    def __init__(self, code: ReceiptRefusal, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class ProviderFailure(Exception):
    """A message that the provider did not take, or of which that is not known.

    Attributes
    ----------
    kind : FailureKind
    provider : str
    provider_code : str or None
        The provider's own code, for operators; e.g. Twilio's `21211`.
    retry_after : float or None
        Seconds to wait, where the provider said so.
    plain : str
        What an inviter reads. No code, no number, no provider's name.
    may_have_been_sent : bool
        Whether the phone may ring all the same: a repeat could be a second message.
    """

    def __init__(
        self,
        *,
        kind: FailureKind,
        provider: str,
        plain: str,
        provider_code: str | None = None,
        retry_after: float | None = None,
        may_have_been_sent: bool = False,
    ) -> None:
        super().__init__(f"{provider}: {kind.value} ({provider_code or 'no code'})")
        self.kind = kind
        self.provider = provider
        self.plain = plain
        self.provider_code = provider_code
        self.retry_after = retry_after
        self.may_have_been_sent = may_have_been_sent


class Provider(Protocol):
    """A way to get a message to a phone. The module's first lines are its contract."""

    @property
    def name(self) -> str:
        """A short stable word: part of the route setting and of stored rows."""

    def send(self, message: OutgoingMessage) -> Accepted:
        """Hand one message over.

        Raises
        ------
        ProviderFailure
        """

    def parse_receipt(self, callback: Callback) -> Receipt:
        """Check and read one status callback.

        Raises
        ------
        ReceiptRefused
        """

    def close(self) -> None:
        """Let connections go."""


@runtime_checkable
class TellsPrices(Protocol):
    """What a provider may offer besides: its price list."""

    def price_in(self, country: str) -> Price | None:
        """Ask what one segment to a country costs, the dearest network counting; `None` where it can not.

        Raises
        ------
        ProviderFailure
        """


@runtime_checkable
class TellsLater(Protocol):
    """What a provider may offer besides: to be asked about a message, and to be told of its code."""

    def fetch(self, provider_id: str) -> Receipt:
        """Ask what became of a message: for lost callbacks, and for a price that comes late.

        Raises
        ------
        ProviderFailure
        """

    def report_outcome(self, provider_id: str, *, code_came_back: bool) -> None:
        """Tell whether the code was entered.

        Raises
        ------
        ProviderFailure
        """


PLAIN_WORDS: Final[Mapping[FailureKind, str]] = {
    FailureKind.FRAUD: "Messages to this number are on hold for safety. Use an invite link instead.",
    FailureKind.REJECTED: "The message was refused on our side. We have been told; try a link meanwhile.",
    FailureKind.WRONG_NUMBER: "This number can not take text messages. Check it, or use an invite link.",
    FailureKind.THROTTLED: "Many messages are waiting. It will be sent shortly.",
    FailureKind.UNAVAILABLE: "The phone or its network can not be reached now. We will try again.",
}
"""The words for each kind where a provider's table has none that say it better."""
