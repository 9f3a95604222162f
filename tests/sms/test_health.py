"""How well a provider is: enough evidence, the right reason, back by steps, and no flapping."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sms.health import (
    Because,
    Condition,
    Pool,
    Rules,
    Tally,
    Vitals,
    complaint,
    judged,
    pooled_errors,
    usual_codes,
)

RULES = Rules()
POOL = Pool()


def after(vitals: Vitals, *, good: int = 0, bad: int = 0, took_ms: float = 300.0) -> Vitals:
    for _ in range(good):
        vitals = vitals.answered(well=True, took_ms=took_ms)
    for _ in range(bad):
        vitals = vitals.answered(well=False, took_ms=took_ms)
    return vitals


def fresh() -> Vitals:
    return Vitals(at=0.0)


def test_too_little_evidence_is_no_complaint() -> None:
    assert complaint(after(fresh(), bad=4), POOL) is None
    assert complaint(after(fresh(), good=4, took_ms=60_000), POOL) is None


def test_errors_just_below_and_just_above_the_threshold() -> None:
    # Under a prior of no errors worth four answers: b / (n + 4) > 1/2.
    assert complaint(after(fresh(), bad=5, good=1), POOL) is None
    assert complaint(after(fresh(), bad=6, good=1), POOL) is Because.ERRORS


def test_an_outage_seen_elsewhere_makes_one_here_likelier() -> None:
    here = after(fresh(), bad=4, good=1)
    assert complaint(here, POOL) is None
    elsewhere = [after(fresh(), bad=20) for _ in range(3)]
    assert complaint(here, Pool(errors=pooled_errors(elsewhere))) is Because.ERRORS
    assert pooled_errors([after(fresh(), bad=2)]) == 0.0, "two answers say nothing"


def test_one_blocked_country_does_not_speak_for_the_rest() -> None:
    countries = [after(fresh(), bad=500), *(after(fresh(), good=50) for _ in range(9))]
    assert pooled_errors(countries) < 0.1


def test_slow_answers_are_a_complaint() -> None:
    assert complaint(after(fresh(), good=30, took_ms=7_900), POOL) is None
    assert complaint(after(fresh(), good=30, took_ms=9_000), POOL) is Because.SLOW


def test_receipts_that_say_lost_are_a_complaint() -> None:
    vitals = fresh()
    for _ in range(12):
        vitals = vitals.reported(arrived=False)
    assert complaint(vitals, POOL) is Because.RECEIPTS


def test_a_provider_whose_every_receipt_lies_is_told_by_the_codes() -> None:
    """Fault: everything is "delivered" and nothing arrives. A code that a person typed can not lie."""
    vitals = after(fresh(), good=40)
    for n in range(40):
        vitals = vitals.reported(arrived=True).returned(came_back=False)
        found = complaint(vitals, Pool(codes=0.7))
        if found is not None:
            assert found is Because.CODES
            assert n < 20
            return
    pytest.fail("forty lost codes were no complaint")


@pytest.mark.parametrize(("back", "of", "wrong"), [(14, 20, None), (9, 20, None), (1, 20, Because.CODES)])
def test_codes_are_compared_with_what_is_usual(back: int, of: int, wrong: Because | None) -> None:
    vitals = replace(fresh(), codes=Tally(good=back, bad=of - back))
    assert complaint(vitals, Pool(codes=0.7)) is wrong


def test_what_is_usual_starts_from_a_guess_and_follows_the_country() -> None:
    assert usual_codes(Tally()) == pytest.approx(0.7)
    assert usual_codes(Tally(good=900, bad=100)) == pytest.approx(0.9, abs=0.01)


def test_an_outage_ends_by_steps_and_not_before_its_time() -> None:
    now, vitals = 0.0, after(fresh(), bad=10)
    vitals = judged(vitals, POOL, now)
    assert (vitals.condition, vitals.because, vitals.share) == (Condition.UNWELL, Because.ERRORS, 0.05)
    vitals = after(vitals, good=50)
    assert judged(vitals, POOL, RULES.least_stay - 1).condition is Condition.UNWELL, "least stay"
    now = RULES.least_stay
    vitals = judged(vitals, POOL, now)
    assert (vitals.condition, vitals.share) == (Condition.EASING, 0.1)
    shares = []
    while vitals.condition is Condition.EASING:
        now += RULES.ease_step
        vitals = judged(after(vitals, good=5), POOL, now)
        shares.append(vitals.share)
    assert shares == [0.2, 0.4, 0.8, 1.0]
    assert (vitals.condition, vitals.because) == (Condition.WELL, None)


def test_probes_must_go_well_in_a_row() -> None:
    vitals = judged(after(fresh(), bad=10), POOL, 0.0)
    vitals = after(after(vitals, good=2), bad=1)
    assert judged(after(vitals, good=2), POOL, 500.0).condition is Condition.UNWELL
    assert judged(after(vitals, good=3), POOL, 500.0).condition is Condition.EASING


def test_a_relapse_while_easing_goes_back_at_once() -> None:
    vitals = judged(after(judged(after(fresh(), bad=10), POOL, 0.0), good=3), POOL, 500.0)
    assert vitals.condition is Condition.EASING
    assert judged(after(vitals, bad=8), POOL, 501.0).condition is Condition.UNWELL


def test_lost_codes_are_cured_by_codes_alone() -> None:
    vitals = replace(fresh(), codes=Tally(bad=20))
    vitals = judged(vitals, POOL, 0.0)
    assert vitals.because is Because.CODES
    assert judged(after(vitals, good=100), POOL, 1000.0).condition is Condition.UNWELL
    for _ in range(3):
        vitals = vitals.returned(came_back=True)
    assert judged(vitals, POOL, 1000.0).condition is Condition.EASING


def test_old_evidence_fades_by_half_each_half_life() -> None:
    vitals = after(fresh(), bad=8).until(RULES.half_life)
    assert vitals.answers.bad == pytest.approx(4.0)
    assert vitals.until(0.0).answers.bad == pytest.approx(4.0), "time never runs backwards"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(1, 90)), max_size=200))
def test_no_evidence_makes_the_route_flap(evidence: list[tuple[bool, float]]) -> None:
    now, falls, vitals = 0.0, 0, fresh()
    for well, wait in evidence:
        now += wait
        was = vitals.condition
        vitals = judged(vitals.until(now).answered(well=well, took_ms=300), POOL, now)
        falls += was is not Condition.UNWELL and vitals.condition is Condition.UNWELL
        assert 0 < vitals.share <= 1
        assert (vitals.share == 1) == (vitals.condition is Condition.WELL)
        assert vitals.answers.good >= 0
        assert vitals.answers.bad >= 0
    assert falls <= now / RULES.least_stay + 1
