"""Own numbers: work is asked for by what was asked for, and by nothing else."""

from __future__ import annotations

import pytest

from sms.guard import Asked, Thresholds, needs_work

RULES = Thresholds()


def test_an_owner_who_logs_in_now_and_then_is_not_asked_to_work() -> None:
    assert not needs_work(Asked(phone=2, hundred=2, prefix=2, range=6), RULES)


@pytest.mark.parametrize("asked", [Asked(phone=3), Asked(hundred=5), Asked(prefix=3), Asked(range=7)])
def test_many_calls_about_one_neighbourhood_cost_work(asked: Asked) -> None:
    assert needs_work(asked, RULES)
