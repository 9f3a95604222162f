"""The words of a story, and the advice at its end."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.fate import ConfirmedBy, Happening, Known, Step, confirmed_by, next_step, words
from sms.providers.base import FailureKind
from sms.states import DeliveryState

NOW = 100


def advice(**known: object) -> tuple[Step, int | None]:
    given_ = {"over": False, "came_back": False, "state": DeliveryState.SENT, **known}
    found = next_step(Known(**given_), now=NOW)  # type: ignore[arg-type]
    return found.step, found.at


@pytest.mark.parametrize("happening", Happening)
def test_everything_that_can_happen_has_words_without_digits_or_jargon(happening: Happening) -> None:
    told = words(happening, "RU")
    assert told.endswith(".")
    assert not re.search(r"\d|_|[Ee]rror", told)


def test_what_a_provider_says_better_is_said() -> None:
    assert words(Happening.FAILED, "RU", "This number is a landline.") == "This number is a landline."


def test_under_country_code_1_delivered_is_the_carriers_word() -> None:
    assert {confirmed_by(country) for country in ("US", "CA", "JM", "PR")} == {ConfirmedBy.CARRIER}
    assert {confirmed_by(country) for country in ("RU", "GB", "BR", "001")} == {ConfirmedBy.PHONE}
    assert words(Happening.DELIVERED, "US") != words(Happening.DELIVERED, "RU")
    assert "phone company" in words(Happening.DELIVERED, "CA")


def test_what_came_back_or_is_over_needs_no_message() -> None:
    assert advice(came_back=True, over=True) == (Step.NOTHING, None)
    assert advice(over=True, resend_at=NOW) == (Step.START_AGAIN, None)


@pytest.mark.parametrize("failure", [FailureKind.WRONG_NUMBER, FailureKind.FRAUD, FailureKind.REJECTED])
def test_where_sending_again_is_no_use_another_way_is_named(failure: FailureKind) -> None:
    lost = {"state": DeliveryState.FAILED, "failure": failure, "resend_at": NOW}
    assert advice(**lost, by_link=True) == (Step.USE_LINK, None)
    assert advice(**lost) == (Step.START_AGAIN, None)


def test_a_phone_that_is_switched_off_is_tried_again() -> None:
    lost = {"state": DeliveryState.UNDELIVERED, "failure": FailureKind.UNAVAILABLE}
    assert advice(**lost, resend_at=NOW + 1) == (Step.RESEND, NOW + 1)
    assert advice(**lost, resend_at=NOW) == (Step.RESEND, NOW)


def test_where_no_message_may_go_any_more_there_is_only_waiting() -> None:
    assert advice() == (Step.WAIT, None)


@given(
    over=st.booleans(),
    came_back=st.booleans(),
    state=st.sampled_from(DeliveryState),
    failure=st.none() | st.sampled_from(FailureKind),
    resend_at=st.none() | st.integers(0, 2 * NOW),
    by_link=st.booleans(),
)
def test_there_is_always_one_step_with_words(**known: object) -> None:
    found = next_step(Known(**known), now=NOW)  # type: ignore[arg-type]
    assert found.words.endswith(".")
    assert (found.at is None) or found.step is Step.RESEND
