"""Blocks grow where nothing answers, and heal by themselves where somebody does."""

from __future__ import annotations

from random import Random

import pytest

from sms.guard import Standing, Tally, Thresholds, Turn, grade_of, turn_of

RULES = Thresholds()
HOUR = 3_600_000_000
MINUTE = HOUR // 60
NOTHING = Tally()


def test_a_block_grows_from_an_hour_to_a_day_and_no_further() -> None:
    now, last, spans = 0, None, []
    for _ in range(5):
        last = grade_of(last, now, RULES)
        spans.append((last.until - now) // HOUR)
        now = last.until + HOUR
    assert spans == [1, 6, 24, 24, 24]


def test_a_block_that_nobody_remembers_does_not_count() -> None:
    last = Standing(grade=3, until=0)
    assert grade_of(last, RULES.memory - 1, RULES).grade == 3
    assert grade_of(last, RULES.memory, RULES).grade == 1


@pytest.mark.parametrize(
    ("since", "turn"),
    [
        (Tally(), Turn.PROBE),
        (Tally(open=1), Turn.WAIT),
        (Tally(bad=1), Turn.WORSE),
        (Tally(good=1), Turn.PROBE),
        (Tally(good=1, open=1), Turn.PROBE),
        (Tally(good=1, open=2), Turn.WAIT),
        (Tally(good=2, bad=1), Turn.PROBE),
        (Tally(good=1, bad=1), Turn.PROBE),
        (Tally(good=3), Turn.HEALED),
        (Tally(good=4, bad=1), Turn.HEALED),
    ],
)
def test_probation_goes_one_message_at_a_time(since: Tally, turn: Turn) -> None:
    assert turn_of(Standing(grade=1, until=100), since, 101, RULES) is turn


@pytest.mark.parametrize("grade", [1, 2, 3])
def test_who_was_blocked_more_often_has_to_answer_more_often(grade: int) -> None:
    standing = Standing(grade=grade, until=100)
    assert turn_of(standing, Tally(good=3 * grade - 1), 101, RULES) is Turn.PROBE
    assert turn_of(standing, Tally(good=3 * grade), 101, RULES) is Turn.HEALED


def test_a_silence_long_after_a_block_blocks_nobody_again() -> None:
    """A family that comes days after an attack on its range, and mistypes its first number."""
    standing, day = Standing(grade=3, until=0), RULES.grades[-1]
    assert turn_of(standing, Tally(bad=1), day - 1, RULES) is Turn.WORSE
    assert turn_of(standing, Tally(bad=1), day, RULES) is Turn.PROBE
    assert turn_of(standing, Tally(bad=1, open=1), day, RULES) is Turn.WAIT
    assert turn_of(standing, Tally(bad=2), day, RULES) is Turn.WORSE
    assert turn_of(standing, Tally(bad=2), 2 * day, RULES) is Turn.PROBE


def test_a_block_refuses_until_its_time_is_over_to_the_microsecond() -> None:
    standing = Standing(grade=1, until=100)
    assert turn_of(standing, NOTHING, 99, RULES) is Turn.REFUSED
    assert turn_of(standing, NOTHING, 100, RULES) is Turn.PROBE
    assert turn_of(None, NOTHING, 99, RULES) is Turn.FREE


def test_a_block_that_nobody_comes_to_is_over_when_the_memory_is() -> None:
    standing = Standing(grade=3, until=0)
    assert turn_of(standing, NOTHING, RULES.memory, RULES) is Turn.HEALED


def hours_until_healed(share: float, random: Random) -> float:
    """Somebody comes every ten minutes and is answered by `share`; no longer than sixty days."""
    now, standing = 0, grade_of(None, 0, RULES)
    good = bad = 0
    while now < 60 * 24 * HOUR:
        now += 10 * MINUTE
        match turn_of(standing, Tally(good=good, bad=bad), now, RULES):
            case Turn.PROBE:
                answered = random.random() < share
                good, bad = good + answered, bad + (not answered)
            case Turn.WORSE:
                standing, good, bad = grade_of(standing, now, RULES), 0, 0
            case Turn.HEALED:
                return now / HOUR
            case Turn.REFUSED | Turn.WAIT | Turn.FREE:
                pass
    return now / HOUR


def test_an_honest_prefix_heals_by_itself_within_a_day_and_a_half() -> None:
    """What docs/guard.md says: half of them in two hours, nine of ten within a day and a half."""
    random = Random(4)
    times = sorted(hours_until_healed(0.8, random) for _ in range(500))
    assert times[250] <= 2
    assert times[450] <= 36


def test_a_pump_does_not_heal() -> None:
    random = Random(4)
    times = [hours_until_healed(0.02, random) for _ in range(5)]
    assert min(times) == 24 * 60
