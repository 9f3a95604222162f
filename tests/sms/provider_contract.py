"""The contract of `sms.providers.base`, as tests that every adapter runs.

A subclass in `tests/sms/providers/` gives a *rig*: the adapter, and the stand-in on its far side.
`ProviderContract` is for every adapter, `RemoteProviderContract` for those that speak to a network,
`ReceiptContract` for those that are reported to.
"""

import itertools
import logging
import socket
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import pytest

from sms.numbers import E164
from sms.providers.base import (
    Accepted,
    Callback,
    FailureKind,
    OutgoingMessage,
    Price,
    Provider,
    ProviderFailure,
    Receipt,
    ReceiptRefusal,
    ReceiptRefused,
)
from sms.providers.exchange import Timeouts
from sms.route import parse_route
from sms.states import DeliveryState, advance
from tests.standins.loopback import Fault, LoopbackServer, Trouble

PHONE = E164("+447400123456")
CODE = "839217"
BODY = f"Identity code: {CODE}. Never share it.\n@join.example.org #{CODE}"
CALLBACK_URL = "https://id.example.org/callbacks/x?attempt=att_1"
FAST = Timeouts(connect=1.0, total=0.6)


def outgoing(
    attempt_id: str = "att_1",
    *,
    to: E164 = PHONE,
    body: str = BODY,
    callback_url: str | None = CALLBACK_URL,
    validity_seconds: int = 600,
) -> OutgoingMessage:
    """Write a message."""
    return OutgoingMessage(
        attempt_id=attempt_id,
        to=to,
        body=body,
        country="GB",
        callback_url=callback_url,
        validity_seconds=validity_seconds,
    )


def refused_port() -> int:
    """Find a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@dataclass(frozen=True, kw_only=True)
class Rig:
    """An adapter and a way to see what arrived on the far side: (number, body), oldest first."""

    provider: Provider
    arrived: Callable[[], list[tuple[str, str]]]


@dataclass(frozen=True, kw_only=True)
class RemoteRig(Rig):
    """A rig with a network between. `at` makes the adapter of another address."""

    far_side: LoopbackServer
    at: Callable[[str, Timeouts], Provider]


def failure_of(provider: Provider, message: OutgoingMessage) -> ProviderFailure:
    """Send a message that must fail."""
    with pytest.raises(ProviderFailure) as caught:
        provider.send(message)
    return caught.value


class ProviderContract(ABC):
    """What every adapter promises."""

    delivers = True
    repeats_are_one_message = False

    @pytest.fixture
    @abstractmethod
    def rig(self) -> Rig:
        """Make the adapter under test."""

    def test_its_name_can_stand_in_a_route(self, rig: Rig) -> None:
        assert parse_route(rig.provider.name).names == (rig.provider.name,)

    def test_an_accepted_message_has_the_providers_name_and_id(self, rig: Rig) -> None:
        accepted = rig.provider.send(outgoing())

        assert isinstance(accepted, Accepted)
        assert accepted.provider == rig.provider.name
        assert accepted.provider_id
        assert accepted.state is not DeliveryState.NONE
        assert accepted.state not in {DeliveryState.FAILED, DeliveryState.UNDELIVERED}
        assert accepted.segments in {None, 1}

    @pytest.mark.parametrize(
        "body",
        [
            BODY,
            "Код Identity: 839217. Никому!",
            "رمزك:\n\u200e7KQ4-M2XD-9PTA-~",
            "验证码：839217",
            "a&b=c+d %~€\n😀",
        ],
    )
    def test_number_and_text_arrive_unchanged(self, rig: Rig, body: str) -> None:
        rig.provider.send(outgoing(body=body))

        assert rig.arrived() == ([(PHONE, body)] if self.delivers else [])

    def test_two_attempts_are_two_messages(self, rig: Rig) -> None:
        first, second = (rig.provider.send(outgoing(attempt)) for attempt in ("att_1", "att_2"))

        assert first.provider_id != second.provider_id
        assert len(rig.arrived()) == (2 if self.delivers else 0)

    def test_the_same_attempt_again_is_one_message_where_the_provider_has_a_key_for_it(
        self, rig: Rig
    ) -> None:
        first, second = rig.provider.send(outgoing()), rig.provider.send(outgoing())

        same = self.repeats_are_one_message
        assert (first.provider_id == second.provider_id) is same
        assert len(rig.arrived()) == (0 if not self.delivers else 1 if same else 2)

    def test_many_threads_may_send_at_once(self, rig: Rig) -> None:
        accepted: list[Accepted] = []
        threads = [
            threading.Thread(target=lambda n=n: accepted.append(rig.provider.send(outgoing(f"att_{n}"))))
            for n in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

        assert len({one.provider_id for one in accepted}) == 12
        assert len(rig.arrived()) == (12 if self.delivers else 0)

    def test_nothing_private_is_logged(self, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            rig.provider.send(outgoing())

        assert PHONE[1:] not in caplog.text
        assert CODE not in caplog.text

    def test_nothing_private_is_kept_after_the_call(self, rig: Rig) -> None:
        rig.provider.send(outgoing())

        assert PHONE[1:] not in repr(_reachable(rig.provider))
        assert CODE not in repr(_reachable(rig.provider))

    def test_an_unsigned_callback_is_refused(self, rig: Rig) -> None:
        accepted = rig.provider.send(outgoing())
        unsigned = Callback(
            public_url=CALLBACK_URL,
            params={"MessageSid": accepted.provider_id, "MessageStatus": "delivered", "status": "delivered"},
        )

        with pytest.raises(ReceiptRefused) as caught:
            rig.provider.parse_receipt(unsigned)
        assert caught.value.code in {ReceiptRefusal.FORGED, ReceiptRefusal.UNSUPPORTED}

    def test_closing_twice_is_harmless(self, rig: Rig) -> None:
        rig.provider.close()
        rig.provider.close()


class RemoteProviderContract(ProviderContract):
    """What an adapter with a network behind it promises besides."""

    throttled_code: str | None = None

    @pytest.fixture
    @abstractmethod
    def rig(self) -> RemoteRig:
        """Make the adapter and its far side."""

    def test_a_refused_connection_sent_nothing_and_says_so(self, rig: RemoteRig) -> None:
        nobody = rig.at(f"http://127.0.0.1:{refused_port()}", FAST)

        failure = failure_of(nobody, outgoing())

        assert failure.kind is FailureKind.UNAVAILABLE
        assert failure.may_have_been_sent is False

    def test_a_lost_reply_may_have_been_sent(self, rig: RemoteRig) -> None:
        rig.far_side.go_wrong(Fault(trouble=Trouble.ACCEPT_THEN_DROP))

        failure = failure_of(rig.provider, outgoing())

        assert failure.kind is FailureKind.UNAVAILABLE
        assert failure.may_have_been_sent is True
        assert rig.arrived() == [(PHONE, BODY)], "the far side did take it"

    @pytest.mark.parametrize("trouble", [Trouble.ACCEPT_SLOWLY, Trouble.ACCEPT_THEN_DRIP])
    def test_a_slow_answer_ends_in_time(self, rig: RemoteRig, trouble: Trouble) -> None:
        rig.far_side.go_wrong(Fault(trouble=trouble, seconds=30))
        hasty = rig.at(rig.far_side.base_url, FAST)
        begun = time.monotonic()

        failure = failure_of(hasty, outgoing())

        assert time.monotonic() - begun < 3
        assert failure.kind is FailureKind.UNAVAILABLE
        assert failure.may_have_been_sent is True

    @pytest.mark.parametrize(
        "trouble", [Trouble.ACCEPT_THEN_GARBAGE, Trouble.ACCEPT_THEN_FLOOD], ids=["garbage", "flood"]
    )
    def test_a_success_that_can_not_be_read_may_have_been_sent(
        self, rig: RemoteRig, trouble: Trouble
    ) -> None:
        rig.far_side.go_wrong(Fault(trouble=trouble))

        failure = failure_of(rig.provider, outgoing())

        assert failure.kind is FailureKind.UNAVAILABLE
        assert failure.may_have_been_sent is True

    def test_a_redirect_is_not_followed(self, rig: RemoteRig) -> None:
        rig.far_side.go_wrong(Fault(trouble=Trouble.REDIRECT))

        failure_of(rig.provider, outgoing())

        assert len(rig.far_side.requests) == 1

    def test_throttling_tells_how_long_to_wait(self, rig: RemoteRig) -> None:
        rig.far_side.go_wrong(
            Fault(trouble=Trouble.ERROR, status=429, code=self.throttled_code, retry_after="7")
        )

        failure = failure_of(rig.provider, outgoing())

        assert failure.kind is FailureKind.THROTTLED
        assert failure.retry_after == 7.0
        assert failure.may_have_been_sent is False

    @pytest.mark.parametrize(("status", "sent"), [(500, True), (502, True), (503, False), (504, True)])
    def test_a_server_error_is_unavailable(self, rig: RemoteRig, status: int, sent: bool) -> None:
        rig.far_side.go_wrong(Fault(trouble=Trouble.ERROR, status=status))

        failure = failure_of(rig.provider, outgoing())

        assert failure.kind is FailureKind.UNAVAILABLE
        assert failure.may_have_been_sent is sent

    @pytest.mark.parametrize("status", [400, 401, 403, 404])
    def test_a_refusal_without_a_known_code_is_ours_to_mend(self, rig: RemoteRig, status: int) -> None:
        rig.far_side.go_wrong(Fault(trouble=Trouble.ERROR, status=status))

        failure = failure_of(rig.provider, outgoing())

        assert failure.kind is FailureKind.REJECTED
        assert failure.may_have_been_sent is False
        assert failure.provider_code == f"http_{status}"

    def test_the_next_message_after_a_fault_goes_through(self, rig: RemoteRig) -> None:
        rig.far_side.go_wrong(Fault(trouble=Trouble.ERROR, status=503))
        failure_of(rig.provider, outgoing())

        assert rig.provider.send(outgoing()).provider_id

    @pytest.mark.parametrize(
        "trouble", [Trouble.ERROR, Trouble.ACCEPT_THEN_DROP, Trouble.ACCEPT_THEN_GARBAGE]
    )
    def test_a_failure_carries_nothing_private(self, rig: RemoteRig, trouble: Trouble) -> None:
        rig.far_side.go_wrong(Fault(trouble=trouble, status=400))

        failure = failure_of(rig.provider, outgoing())

        told = "".join(traceback.format_exception(failure)) + repr(vars(failure))
        assert PHONE[1:] not in told
        assert CODE not in told
        assert failure.plain, "an inviter reads something"
        assert failure.provider not in failure.plain.lower()


class ReceiptContract(ABC):
    """What an adapter that is reported to promises: nothing unsigned counts, order does not."""

    # The provider's words for a whole journey, in order, and where it ends.
    journey: Sequence[str]
    journey_ends: DeliveryState
    failing_word: str

    @pytest.fixture
    @abstractmethod
    def rig(self) -> RemoteRig:
        """Make the adapter and its far side."""

    @abstractmethod
    def callback(self, rig: RemoteRig, provider_id: str, word: str) -> Callback:
        """Build a signed callback."""

    @abstractmethod
    def tampered(self, callback: Callback) -> Sequence[Callback]:
        """Change a signed callback in every way that the signature must notice."""

    def test_a_signed_receipt_is_read(self, rig: RemoteRig) -> None:
        sent = rig.provider.send(outgoing())

        receipt = rig.provider.parse_receipt(self.callback(rig, sent.provider_id, self.journey[-1]))

        assert isinstance(receipt, Receipt)
        assert (receipt.provider, receipt.provider_id) == (rig.provider.name, sent.provider_id)
        assert receipt.state is self.journey_ends
        assert receipt.reported == self.journey[-1]
        assert receipt.failure is None

    def test_a_failed_receipt_says_why_in_plain_words(self, rig: RemoteRig) -> None:
        sent = rig.provider.send(outgoing())

        receipt = rig.provider.parse_receipt(self.callback(rig, sent.provider_id, self.failing_word))

        assert receipt.state in {DeliveryState.FAILED, DeliveryState.UNDELIVERED}
        assert receipt.failure is not None
        assert receipt.plain

    def test_a_receipt_that_was_changed_on_the_way_is_forged(self, rig: RemoteRig) -> None:
        sent = rig.provider.send(outgoing())
        genuine = self.callback(rig, sent.provider_id, self.journey[0])

        for forged in self.tampered(genuine):
            with pytest.raises(ReceiptRefused) as caught:
                rig.provider.parse_receipt(forged)
            assert caught.value.code is ReceiptRefusal.FORGED

    def test_a_signed_receipt_of_an_unknown_word_is_malformed(self, rig: RemoteRig) -> None:
        sent = rig.provider.send(outgoing())

        with pytest.raises(ReceiptRefused) as caught:
            rig.provider.parse_receipt(self.callback(rig, sent.provider_id, "teleported"))
        assert caught.value.code is ReceiptRefusal.MALFORMED

    def test_equal_callbacks_give_equal_receipts(self, rig: RemoteRig) -> None:
        sent = rig.provider.send(outgoing())
        callback = self.callback(rig, sent.provider_id, self.journey[0])

        assert rig.provider.parse_receipt(callback) == rig.provider.parse_receipt(callback)

    def test_duplicates_and_reordering_end_in_the_same_state(self, rig: RemoteRig) -> None:
        sent = rig.provider.send(outgoing())
        receipts = [
            rig.provider.parse_receipt(self.callback(rig, sent.provider_id, word)) for word in self.journey
        ]
        for order in itertools.permutations(receipts):
            state = sent.state
            for receipt in (*order, *order):
                state = advance(state, receipt.state)
            assert state is self.journey_ends


def price(amount: str, currency: str) -> Price:
    """Write a price."""
    return Price(amount=Decimal(amount), currency=currency)


def _reachable(root: object) -> list[object]:
    """Follow plain attributes and containers, as a debugger or a pickle would."""
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting and len(seen) < 5000:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type | threading.Thread):
            continue
        seen[id(one)] = one
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list | tuple | set | frozenset):
            waiting.extend(one)
        elif not callable(one):
            names = [*getattr(one, "__dict__", {}), *getattr(type(one), "__slots__", ())]
            waiting.extend(getattr(one, name) for name in names if hasattr(one, name))
    return [one for one in seen.values() if isinstance(one, str | bytes | int)]
