"""The rules of the pumping guard, as the policy file writes them."""

from __future__ import annotations

from dataclasses import fields
from functools import cached_property
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from identity_service.policy.values import Section, Span, span
from identity_service.ports import DAY, Instant
from sms.guard import Thresholds


def _spans(texts: object) -> tuple[Instant, ...]:
    if not isinstance(texts, list) or not texts:
        raise ValueError('spans are written ["1h", "6h"]')
    return tuple(span(text) for text in texts)


_D: Final = Thresholds()
_Spans = Annotated[tuple[Instant, ...], BeforeValidator(_spans)]
_Share = Annotated[float, Field(gt=0, lt=1)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1)]
_CountryCode = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]


class GuardRules(Section):
    """The pumping guard: the fields of `sms.guard.Thresholds`, with its values, and three of the service."""

    memory: Span = _D.memory
    latest: Annotated[int, Field(ge=16, le=256)] = _D.latest
    bad_share: _Share = _D.bad_share
    block_at: _Share = _D.block_at
    work_at: _Share = _D.work_at
    prior_weight: _Positive = _D.prior_weight
    fewest_judged: _Count = _D.fewest_judged
    inviter_fewest_judged: _Count = _D.inviter_fewest_judged
    branch_fewest_judged: _Count = _D.branch_fewest_judged
    campaign_fewest_judged: _Count = _D.campaign_fewest_judged
    suspect_share: _Share = _D.suspect_share
    suspect_fewest_judged: _Count = _D.suspect_fewest_judged
    suspect_open: _Count = _D.suspect_open
    adjacent_work: _Count = _D.adjacent_work
    adjacent_block: _Count = _D.adjacent_block
    prefix_open: _Count = _D.prefix_open
    range_open: _Count = _D.range_open
    open_each_good: _Count = _D.open_each_good
    resends_work: _Count = _D.resends_work
    resends_block: _Count = _D.resends_block
    grades: _Spans = _D.grades
    heal_after: _Count = _D.heal_after
    first_share: _Share = _D.first_share
    first_weight: _Positive = _D.first_weight
    country_weight: _Positive = _D.country_weight
    recent_weight: _Positive = _D.recent_weight
    lowest_base: _Share = _D.lowest_base
    range_a_day: _Count = _D.range_a_day
    long_half_life: Span = _D.long_half_life
    short_half_life: Span = _D.short_half_life
    quiet: _Positive = _D.quiet
    falling_share: _Share = _D.falling_share
    pressed_volume: _Positive = _D.pressed_volume
    outage_fewest: _Positive = _D.outage_fewest
    outage_share: _Share = _D.outage_share
    outage_over: _Share = _D.outage_over
    outage_volume: _Positive = _D.outage_volume
    outage_longest: Span = _D.outage_longest

    enabled: bool = True
    invite_answered_within: Span = DAY
    countries: dict[_CountryCode, Literal["allow", "monitor", "block"]] = Field(default_factory=dict)

    @cached_property
    def thresholds(self) -> Thresholds:
        return Thresholds(**{each.name: getattr(self, each.name) for each in fields(Thresholds)})
