"""Delivery states: merging is a join, so neither order nor repetition matters."""

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.states import DeliveryState, advance

states = st.sampled_from(DeliveryState)


@given(st.lists(states, min_size=1), st.randoms())
def test_any_order_of_the_same_reports_ends_in_the_same_state(
    reports: list[DeliveryState], random: object
) -> None:
    shuffled = list(reports)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert reduce(advance, reports) is reduce(advance, shuffled)


@given(states, states)
def test_a_repeated_report_changes_nothing(current: DeliveryState, reported: DeliveryState) -> None:
    once = advance(current, reported)

    assert advance(once, reported) is once


@given(st.lists(states), states)
def test_nothing_moves_backwards(reports: list[DeliveryState], start: DeliveryState) -> None:
    order = list(DeliveryState)
    state = start
    for report in reports:
        moved = advance(state, report)
        assert order.index(moved) >= order.index(state)
        state = moved


@pytest.mark.parametrize(
    ("current", "reported", "merged"),
    [
        ("none", "queued", "queued"),
        ("sent", "queued", "sent"),
        ("queued", "delivered", "delivered"),
        ("delivered", "sent", "delivered"),
        ("delivered", "undelivered", "delivered"),
        ("undelivered", "delivered", "delivered"),
        ("failed", "sent", "failed"),
        ("sent", "undelivered", "undelivered"),
    ],
)
def test_the_later_truth_wins(current: str, reported: str, merged: str) -> None:
    assert advance(DeliveryState(current), DeliveryState(reported)) == merged


def test_the_states_are_the_words_of_the_rest_api() -> None:
    assert {state.value for state in DeliveryState} == {
        "none", "queued", "sent", "delivered", "undelivered", "failed"
    }  # fmt: skip
    assert {state for state in DeliveryState if state.is_final} == {"delivered", "undelivered", "failed"}
