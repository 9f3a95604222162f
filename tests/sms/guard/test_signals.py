"""Each signal below, at and above its threshold, and what is never blocked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.guard import Answer, Climate, Evidence, Signal, Tally, Thresholds, Unit, judge
from sms.guard.signals import SIGNALS

RULES = Thresholds()
USUAL = Climate(base=0.8, recent=0.8)
tallies = st.builds(Tally, good=st.integers(0, 40), bad=st.integers(0, 40), open=st.integers(0, 40))


def by(signal: Signal, climate: Climate = USUAL, **evidence: Tally) -> dict[Unit | None, Answer]:
    """What one signal alone finds, by unit."""
    others = set(Signal) - {signal}
    verdict = judge(Evidence(climate=climate, **evidence), RULES, without=others)
    return {found.unit: found.answer for found in verdict.findings}


def test_a_prefix_whose_codes_do_not_come_back_is_worked_then_blocked() -> None:
    seen = [by(Signal.UNCONVERTED, prefix=Tally(bad=n)).get(Unit.PREFIX, Answer.ALLOW) for n in range(8)]
    assert seen == sorted(seen), "more silence is never a milder answer"
    assert seen[1] is Answer.ALLOW, "one mistyped number is nobody's fault"
    assert Answer.WORK in seen
    assert seen[7] is Answer.BLOCK
    blocked_at = seen.index(Answer.BLOCK)
    assert blocked_at >= RULES.fewest_judged


def test_answers_outweigh_silence_as_they_do_in_the_country() -> None:
    assert by(Signal.UNCONVERTED, prefix=Tally(good=24, bad=8)) == {}
    assert by(Signal.UNCONVERTED, prefix=Tally(good=6, bad=26))[Unit.PREFIX] is Answer.BLOCK


def test_a_third_of_the_codes_completed_does_not_hide_a_pump() -> None:
    """Attack: a colluder who completes 30 %, to look like a bad carrier."""
    assert by(Signal.UNCONVERTED, prefix=Tally(good=9, bad=55))[Unit.PREFIX] is Answer.BLOCK
    assert by(Signal.UNCONVERTED, range=Tally(good=14, bad=50))[Unit.RANGE] is Answer.BLOCK


def test_a_prefix_with_a_record_of_its_own_is_not_blamed_for_its_range() -> None:
    spread = {"range": Tally(bad=40), "prefix": Tally(good=3, bad=1)}
    assert by(Signal.UNCONVERTED, USUAL, **spread) == {}
    assert by(Signal.UNCONVERTED, range=Tally(bad=40))[Unit.RANGE] is Answer.BLOCK


def test_a_prefix_that_nobody_knows_is_judged_with_its_range() -> None:
    alone = by(Signal.UNCONVERTED, prefix=Tally(bad=2)).get(Unit.PREFIX, Answer.ALLOW)
    among = by(Signal.UNCONVERTED, prefix=Tally(bad=2), range=Tally(bad=4)).get(Unit.PREFIX, Answer.ALLOW)
    assert alone < among


@pytest.mark.parametrize(
    ("silent", "answered", "answer"),
    [
        (4, 0, None),
        (5, 0, Answer.WORK),
        (7, 0, Answer.WORK),
        (8, 0, Answer.BLOCK),
        (8, 2, None),
        (12, 2, Answer.BLOCK),
    ],
)
def test_runs_of_adjacent_numbers(silent: int, answered: int, answer: Answer | None) -> None:
    found = by(Signal.ADJACENT, hundred=Tally(good=answered, bad=silent))
    assert found.get(Unit.PREFIX) == answer


@pytest.mark.parametrize(
    ("open_", "good", "answer"), [(2, 0, None), (3, 0, Answer.WORK), (6, 0, Answer.BLOCK), (6, 4, None)]
)
def test_only_a_few_at_once_go_to_a_prefix_that_never_answered(
    open_: int, good: int, answer: Answer | None
) -> None:
    assert by(Signal.NEVER_SEEN, prefix=Tally(open=open_, good=good)).get(Unit.PREFIX) == answer


def test_a_pressed_country_costs_work_where_nobody_answered_and_is_never_blocked() -> None:
    pressed = replace(USUAL, recent=0.1, volume=9.0, pressed=True)
    assert by(Signal.COUNTRY, pressed) == {None: Answer.WORK}
    assert by(Signal.COUNTRY, pressed, prefix=Tally(good=1)) == {}
    assert by(Signal.COUNTRY, replace(pressed, pressed=False)) == {}


def test_an_inviter_and_a_branch_whose_invitees_never_come() -> None:
    few, many = RULES.inviter_fewest_judged, RULES.branch_fewest_judged
    assert by(Signal.INVITER, inviter=Tally(bad=few))[Unit.INVITER] is Answer.BLOCK
    assert by(Signal.INVITER, inviter=Tally(bad=few - 1))[Unit.INVITER] is Answer.WORK
    assert by(Signal.INVITER, branch=Tally(bad=many))[Unit.BRANCH] is Answer.BLOCK
    assert by(Signal.INVITER, branch=Tally(bad=many - 1))[Unit.BRANCH] is Answer.WORK
    assert by(Signal.INVITER, inviter=Tally(good=8, bad=4)) == {}


@pytest.mark.parametrize(
    ("silent", "answer"), [(2, None), (3, Answer.WORK), (5, Answer.WORK), (6, Answer.BLOCK)]
)
def test_one_phone_that_never_answers(silent: int, answer: Answer | None) -> None:
    found = by(Signal.RESENDS, phone=Tally(bad=silent - 1, open=1))
    assert found.get(Unit.PHONE) == answer
    assert by(Signal.RESENDS, phone=Tally(good=1, bad=silent)) == {}


@given(prefix=tallies, wide=tallies, hundred=tallies, phone=tallies, inviter=tallies)
def test_an_outage_blocks_nobody_whose_range_answered_before(
    prefix: Tally, wide: Tally, hundred: Tally, phone: Tally, inviter: Tally
) -> None:
    evidence = Evidence(
        climate=replace(USUAL, recent=0.02, outage=True),
        prefix=prefix,
        range=replace(wide, good=wide.good + 2),
        hundred=hundred,
        phone=phone,
        inviter=inviter,
        branch=wide,
    )
    verdict = judge(evidence, RULES)
    assert verdict.answer <= Answer.WORK
    assert verdict.blocked == ()


@given(prefix=tallies, wide=tallies, hundred=tallies, phone=tallies)
def test_an_outage_changes_nothing_where_hardly_anybody_answered(
    prefix: Tally, wide: Tally, hundred: Tally, phone: Tally
) -> None:
    """Attack: a staged outage, so that rented ranges are not blamed."""
    rented = Evidence(
        climate=USUAL, prefix=prefix, range=replace(wide, good=wide.good % 2), hundred=hundred, phone=phone
    )
    assert judge(replace(rented, climate=replace(USUAL, outage=True)), RULES) == judge(rented, RULES)


@given(prefix=tallies, wide=tallies, phone=tallies)
def test_every_answer_but_allow_has_its_reasons(prefix: Tally, wide: Tally, phone: Tally) -> None:
    verdict = judge(Evidence(climate=USUAL, prefix=prefix, range=wide, phone=phone), RULES)
    assert (verdict.answer is Answer.ALLOW) == (not verdict.findings)
    assert all(found.value >= found.threshold and found.detail for found in verdict.findings)
    assert (verdict.answer is Answer.BLOCK) == bool(verdict.blocked)


def test_every_signal_can_be_left_out() -> None:
    everything = Evidence(
        climate=replace(USUAL, recent=0.1, pressed=True, volume=5.0),
        prefix=Tally(bad=20, open=20),
        range=Tally(bad=20, open=40),
        hundred=Tally(bad=20),
        phone=Tally(bad=20),
        inviter=Tally(bad=20),
        campaign=Tally(bad=20),
    )
    found = {one.signal for one in judge(everything, RULES).findings}
    assert found == set(Signal) == set(SIGNALS)
    for signal in Signal:
        assert signal not in {one.signal for one in judge(everything, RULES, without={signal}).findings}


def test_who_is_vouched_for_is_not_blamed_for_a_range() -> None:
    """Honest people live in pumped ranges, too: the invite graph tells them from the pump."""
    bad_range = {"range": Tally(bad=40, open=40)}
    for inviter in (Tally(), Tally(good=3, bad=1), Tally(open=2)):
        assert by(Signal.UNCONVERTED, USUAL, **bad_range, inviter=inviter) == {}
        assert by(Signal.NEVER_SEEN, USUAL, **bad_range, inviter=inviter) == {}
    for inviter in (Tally(bad=3), Tally(open=3), Tally(good=1, bad=2, open=2)):
        assert by(Signal.UNCONVERTED, USUAL, **bad_range, inviter=inviter)[Unit.RANGE] is Answer.BLOCK
    sold = by(Signal.UNCONVERTED, USUAL, **bad_range, inviter=Tally(), branch=Tally(bad=5))
    assert sold[Unit.RANGE] is Answer.BLOCK, "a seller cannot split a pump over fresh members"


BAD_LINK = Tally(good=3, bad=30)


def test_a_campaign_that_does_not_convert_is_never_blocked_but_judged_more_strictly() -> None:
    """Attack: many fresh ranges behind one public link, by which honest people come, too."""
    for campaign in (Tally(good=24, bad=9), Tally(bad=11), Tally()):
        assert by(Signal.CAMPAIGN, campaign=campaign) == {}
    assert by(Signal.CAMPAIGN, campaign=BAD_LINK) == {None: Answer.WORK}
    few = {"range": Tally(bad=4)}
    assert not judge(Evidence(climate=USUAL, **few), RULES).blocked
    suspect = Evidence(climate=USUAL, **few, campaign=BAD_LINK)
    assert judge(suspect, RULES).blocked == (Unit.RANGE,)
    assert not judge(suspect, RULES, without={Signal.CAMPAIGN}).blocked
    busy = {"range": Tally(open=RULES.suspect_open)}
    assert not judge(Evidence(climate=USUAL, **busy), RULES).blocked
    assert judge(Evidence(climate=USUAL, **busy, campaign=BAD_LINK), RULES).blocked == (Unit.RANGE,)


def test_who_comes_from_where_people_answer_is_not_blamed_for_a_link() -> None:
    at_home = {"prefix": Tally(), "range": Tally(good=3, bad=2, open=RULES.suspect_open)}
    assert judge(Evidence(climate=USUAL, **at_home, campaign=BAD_LINK), RULES).answer is Answer.ALLOW
    for stranger in ({"range": Tally(good=1)}, {"range": Tally(good=3, bad=4)}, {"prefix": Tally(bad=1)}):
        found = judge(Evidence(climate=USUAL, **(at_home | stranger), campaign=BAD_LINK), RULES)
        assert found.answer > Answer.ALLOW
