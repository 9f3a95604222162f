"""A country beside its own past: pressed, in an outage, or neither."""

from __future__ import annotations

import pytest

from sms.guard import Climate, Rates, Thresholds, climate_of

RULES = Thresholds()
HOUR = 3_600_000_000
DAY = 24 * HOUR
EMPTY = Rates(at=0, since=0)


def after(days: int, sent: int, good: int, rates: Rates = EMPTY) -> Rates:
    """Many days of the same, hour by hour; half of the messages go to ranges that answered before."""
    for hour in range(1, 24 * days + 1):
        control = (sent // 2, good // 2)
        rates = rates.decayed(hour * HOUR, RULES).with_judged((sent, good), control, told=(sent, good))
    return rates


def then(rates: Rates, hours: int, sent: int, good: int, control: tuple[int, int] = (5, 4)) -> Climate:
    for _ in range(hours):
        rates = rates.decayed(rates.at + HOUR, RULES).with_judged((sent, good), control)
    return climate_of(rates, rates, RULES)


def test_a_country_that_does_as_always_is_neither() -> None:
    climate = then(after(5, 10, 8), 3, 10, 8)
    assert (climate.pressed, climate.outage) == (False, False)
    assert climate.base == pytest.approx(0.79, abs=0.03)
    assert climate.volume == pytest.approx(1, abs=0.25)


def test_more_traffic_that_converts_as_always_is_a_good_day() -> None:
    climate = then(after(5, 10, 8), 6, 100, 80)
    assert (climate.pressed, climate.outage) == (False, False)
    assert climate.volume > 5


def test_more_traffic_that_converts_less_is_pressure_and_no_outage() -> None:
    climate = then(after(5, 10, 8), 6, 60, 8)
    assert (climate.pressed, climate.outage) == (True, False)


def test_the_same_traffic_of_which_nothing_returns_is_an_outage() -> None:
    climate = then(after(5, 10, 8), 4, 10, 0, (5, 0))
    assert (climate.pressed, climate.outage) == (False, True)


def test_people_who_ask_again_in_an_outage_do_not_make_it_an_attack() -> None:
    climate = then(after(5, 10, 8), 5, 18, 0, (5, 0))
    assert climate.outage


def test_an_attack_by_night_is_no_outage() -> None:
    """Attack: pumping while hardly anyone is awake, so that the answers seem to have gone away."""
    climate = then(after(5, 10, 8), 6, 20, 1, (1, 1))
    assert not climate.outage


def test_prepared_ranges_do_not_hide_a_pump_in_a_made_up_outage() -> None:
    """Attack: answer once from each of three ranges, then let them fall silent."""
    climate = then(after(5, 20, 16), 6, 60, 8, (13, 8))
    assert not climate.outage


def test_a_rush_ends_an_outage() -> None:
    """Attack: stage an outage with a few prepared ranges, then pump under its cover."""
    rates = after(5, 10, 8)
    assert not then(rates, 4, 10, 0, (5, 0)).rushed
    pumped = then(rates, 4, 80, 0, (5, 0))
    assert (pumped.outage, pumped.rushed, pumped.recovered) == (False, True, False)


def test_one_silent_country_is_no_outage_of_all() -> None:
    climate = then(after(5, 10, 8), 4, 10, 0, (5, 0))
    assert climate.silent
    assert not climate.believed_everywhere(1)
    assert climate.believed_everywhere(3)


def test_a_quiet_night_is_no_outage() -> None:
    climate = then(after(5, 10, 8), 6, 1, 1, (1, 1))
    assert (climate.pressed, climate.outage) == (False, False)


def test_a_country_that_nobody_knew_is_judged_by_everyone() -> None:
    everywhere = after(5, 100, 90)
    climate = climate_of(Rates(at=everywhere.at, since=everywhere.at), everywhere, RULES)
    assert climate.base == pytest.approx(0.9, abs=0.01)
    assert (climate.pressed, climate.outage) == (False, False)


def test_a_baseline_is_never_believed_to_be_worse_than_the_floor() -> None:
    ruined = after(20, 100, 0)
    assert climate_of(ruined, ruined, RULES).base == RULES.lowest_base


def test_what_tells_nothing_moves_no_baseline() -> None:
    """Attack: three of ten completed, in one range, until the country seems to be worse than the attacker."""
    before = after(5, 10, 8)
    day, base = before, climate_of(before, before, RULES).base
    for _ in range(24):
        day = day.decayed(day.at + HOUR, RULES).with_judged((60, 23), told=(10, 8))
    assert climate_of(day, day, RULES).base == pytest.approx(base, abs=0.03)
    assert day.long_sent > 2 * before.long_sent, "its traffic is no secret"
