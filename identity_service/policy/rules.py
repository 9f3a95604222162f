"""The policy file as frozen values.  Read and checked once; every number that decides something is here."""

from __future__ import annotations

import itertools
import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from identity_service.errors import Misconfigured
from identity_service.policy.budgets import Limit, Rate
from identity_service.policy.changes import line_of
from identity_service.policy.guarding import GuardRules
from identity_service.policy.levels import EarningRules, Ladder, Level
from identity_service.policy.values import Section, Span, span
from identity_service.ports import DAY, HOUR, MINUTE

LONGEST_WINDOW: Final = 8 * DAY


def _limit(pair: object) -> Limit:
    if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], int) or pair[0] < 1:
        raise ValueError('a limit is written [times, "span"]')
    limit = Limit(times=pair[0], window=span(pair[1]))
    if limit.window > LONGEST_WINDOW:
        raise ValueError("no window may be longer than 8 days: older uses are forgotten")
    return limit


def _limits(rows: object) -> tuple[Limit, ...]:
    if not isinstance(rows, list) or not rows:
        raise ValueError('limits are written [[times, "span"], ...]')
    return tuple(_limit(row) for row in rows)


Limits = Annotated[tuple[Limit, ...], BeforeValidator(_limits)]
OneLimit = Annotated[Limit, BeforeValidator(_limit)]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong in a policy file.  `line` counts from 1; None where it has no place."""

    line: int | None
    rule: str
    detail: str


class InviteRules(Section):
    link_expires_in: Span
    sms_expires_in: Span
    longest_life: Span
    sms_proves_for: Span
    hold: Span
    member_max_uses: Count
    campaign_max_uses: Annotated[int, Field(ge=1, le=100_000)]
    sms_a_member_a_day: Count
    bulk_items: Annotated[int, Field(ge=1, le=500)]


class VerificationRules(Section):
    code_digits: Annotated[int, Field(ge=6, le=8)]
    recovery_code_digits: Annotated[int, Field(ge=6, le=8)]
    life: Annotated[Span, Field(le=10 * MINUTE)]
    proof_life: Annotated[Span, Field(le=10 * MINUTE)]
    checks_a_code: Annotated[int, Field(ge=1, le=5)]
    starts_an_ip_an_hour: Count
    wrong_guesses_an_hour_break: Count


class SendRules(Section):
    limits: Limits
    trickle: OneLimit
    trickles: OneLimit
    cooldown: Span
    longest_cooldown: Span


class GuessRules(Section):
    limits: Limits
    trickle: OneLimit
    trickles: OneLimit


class MissRules(Section):
    limits: Limits


class RecoveryRules(Section):
    dormant_after: Span
    hold: Span
    codes: Annotated[int, Field(ge=1, le=16)]
    expires_after: Span


class MemberRules(Section):
    first_level: Annotated[str, Field(min_length=1, max_length=30)]


_Weight = Annotated[float, Field(ge=0, le=30, allow_inf_nan=False)]
_Blemish = Annotated[float, Field(ge=-30, le=0, allow_inf_nan=False)]
_Chance = Annotated[float, Field(ge=1e-6, le=1 - 1e-6, allow_inf_nan=False)]
_Prior = Annotated[float, Field(ge=-30, le=30, allow_inf_nan=False)]


class TrustEvidence(Section):
    """What a piece of evidence weighs, in log-odds; `graph.trust.EvidencePolicy` says what each does."""

    report: _Blemish
    report_branches: Annotated[int, Field(ge=1, le=100)]
    vouch: Annotated[float, Field(ge=0, le=0.25, allow_inf_nan=False)]
    vouch_branches: Annotated[int, Field(ge=1, le=100)]
    vouch_travels: Annotated[float, Field(ge=0, le=0.25, allow_inf_nan=False)]
    ban: _Blemish
    staff_verified: _Weight
    phone_mobile: _Weight
    phone_voip: _Blemish
    aged: _Weight
    activated: _Weight
    activity: _Weight
    private_cap: _Weight
    matured_limit: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    old_edge_weight: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class TrustModel(Section):
    """The chances and priors of the model; `graph.trust.TrustParameters` says what each means."""

    a: _Chance
    b: _Chance
    r: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
    s: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
    root_prior: _Prior
    campaign_prior: _Prior
    adjudicated: Annotated[float, Field(ge=-150, lt=0, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _fits(self) -> TrustModel:
        if self.a > self.b:
            raise ValueError("a must not be larger than b: clean inviters would bring more bad invitees")
        if self.r + self.s >= 1:
            raise ValueError("r + s must stay below 1: honest members would invite worse than bad ones")
        return self


class TrustRules(Section):
    epoch: Span
    matured_after: Span
    aged_after: Span
    reports_forgiven_after: Span
    edges_fade_after: Span
    reports_a_reporter: OneLimit
    adjudicated_reasons: tuple[Annotated[str, Field(min_length=1, max_length=60)], ...]
    tolerance: Annotated[float, Field(gt=0, le=0.1, allow_inf_nan=False)]
    alpha_step: Annotated[float, Field(ge=0, le=0.1, allow_inf_nan=False)]
    evidence: TrustEvidence
    model: TrustModel


_Part = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class RouteRules(Section):
    """When a provider is unwell in a country; `sms.health.Rules` says what each does."""

    half_life: Span
    usual_half_life: Span
    least_answers: Count
    least_codes: Count
    errors: _Part
    receipts: _Part
    slow: Span
    codes: _Part
    codes_again: _Part
    least_stay: Span
    probes: Annotated[int, Field(ge=1, le=100)]
    probe_share: Annotated[float, Field(gt=0, le=0.5, allow_inf_nan=False)]
    ease_step: Span

    @model_validator(mode="after")
    def _fits(self) -> RouteRules:
        if self.codes_again < self.codes:
            raise ValueError("codes_again must not be below codes: the route would flap")
        return self


def _money(amount: object) -> int:
    """Return dollars as whole millionths."""
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 < amount <= 1_000_000:
        raise ValueError("an amount in dollars is a number above 0, at most a million")
    return round(amount * 1_000_000)


def _cap(pair: object) -> tuple[int, int]:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError("a cap is written [dollars an hour, dollars a day]")
    hour, day = (_money(amount) for amount in pair)
    if day < hour:
        raise ValueError("what may be spent in a day must not be less than in an hour")
    return hour, day


Cap = Annotated[tuple[int, int], BeforeValidator(_cap)]


class CapRules(Section):
    """The most that messages may cost an hour and a day, in millionths of a dollar; each within the next."""

    prefix: Cap
    inviter: Cap
    branch: Cap
    country: Cap
    all: Cap

    @model_validator(mode="after")
    def _fits(self) -> CapRules:
        caps = (self.prefix, self.inviter, self.branch, self.country, self.all)
        for narrow, wide in itertools.pairwise(caps):
            if wide[0] < narrow[0] or wide[1] < narrow[1]:
                raise ValueError("prefix, inviter, branch, country and all must each allow no less")
        return self

    def of(self, scope: str) -> tuple[int, int]:
        """Return the caps of a scope; a campaign has a branch's."""
        cap: tuple[int, int] = getattr(self, "branch" if scope == "campaign" else scope)
        return cap


class PriceRules(Section):
    usd_per: dict[
        Annotated[str, Field(pattern="^[A-Z]{3}$")],
        Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)],
    ]


class RetentionRules(Section):
    """How long what is over is kept.  Not shorter than the longest window that looks back at it."""

    messages: Annotated[Span, Field(ge=LONGEST_WINDOW)]
    verifications: Annotated[Span, Field(ge=LONGEST_WINDOW)]
    phones: Annotated[Span, Field(ge=LONGEST_WINDOW)]


class Policy(Section):
    """Every rule in force, with the version that is told beside each decision."""

    version: Annotated[str, Field(min_length=1, max_length=60)]
    invites: InviteRules
    verification: VerificationRules
    sends: SendRules
    guesses: GuessRules
    misses: MissRules
    recovery: RecoveryRules
    members: MemberRules
    routes: RouteRules
    guard: GuardRules = Field(default_factory=GuardRules)
    caps: CapRules
    prices: PriceRules
    retention: RetentionRules
    trust: TrustRules
    earning: EarningRules
    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _levels_fit(self) -> Policy:
        names = [level.name for level in self.levels]
        if len(set(names)) < len(names):
            raise ValueError("two levels have one name")
        if names[0] != self.members.first_level:
            raise ValueError(f"members.first_level must be {names[0]!r}, the first of the levels")
        if self.levels[0].enter.model_fields_set or self.levels[0].allowance:
            raise ValueError("the first level is everybody's: it asks for nothing and earns nothing")
        return self

    @cached_property
    def ladder(self) -> Ladder:
        return Ladder(levels=self.levels, rules=self.earning)

    @cached_property
    def guess_rate(self) -> Rate:
        return Rate(limits=self.guesses.limits, trickle=self.guesses.trickle, trickles=self.guesses.trickles)

    @cached_property
    def send_rate(self) -> Rate:
        return Rate(limits=self.sends.limits, trickle=self.sends.trickle, trickles=self.sends.trickles)

    @cached_property
    def miss_rate(self) -> Rate:
        return Rate(limits=self.misses.limits)

    @cached_property
    def ip_rate(self) -> Rate:
        return Rate(limits=(Limit(times=self.verification.starts_an_ip_an_hour, window=HOUR),))

    @cached_property
    def member_sms_rate(self) -> Rate:
        return Rate(limits=(Limit(times=self.invites.sms_a_member_a_day, window=DAY),))


def parse_policy(text: str, name: str) -> Policy:
    """Read a policy file's text.

    Raises:
        Misconfigured: naming the file and each rule that is wrong.
    """
    try:
        return _policy(tomllib.loads(text), name)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"the policy {name} is not TOML: {error}") from None


def _policy(data: dict[str, Any], name: str) -> Policy:
    try:
        return Policy.model_validate(data)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise Misconfigured(f"the policy {name}: {'; '.join(faults)}") from None


def faults_of(text: str) -> tuple[Fault, ...]:
    """Return everything that keeps a text from being a policy, each with its place; empty where nothing."""
    try:
        Policy.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line ([0-9]+)", str(error))
        return (Fault(line=int(at[1]) if at else None, rule="", detail=f"this is not TOML: {error}"),)
    except ValidationError as error:
        return tuple(
            Fault(
                line=line_of(text, item["loc"]),
                rule=".".join(map(str, item["loc"])),
                detail=item["msg"].removeprefix("Value error, "),
            )
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        )
    return ()


def parse_stored(text: str, name: str) -> Policy:
    """Read a policy that is in use, and that an earlier release may have written: a rule that it did not know
    has its default, so that an upgrade starts.  What is announced anew says every rule (`parse_policy`).

    Raises:
        Misconfigured: as `parse_policy`.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"the policy {name} is not TOML: {error}") from None
    return _policy(_completed(data), name)


def rules_of(text: str) -> dict[str, Any]:
    """Return the rules of a readable policy file as data, in the file's own words."""
    return _completed(tomllib.loads(text))


def _completed(data: dict[str, Any]) -> dict[str, Any]:
    default = tomllib.loads(default_text())
    del default["version"]
    return _overlaid(default, data)


def _overlaid(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return `below` with what `above` says in its place, table by table; lists are taken whole."""
    both = {
        name: _overlaid(below[name], value)
        for name, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(name), dict)
    }
    return below | above | both


def default_text() -> str:
    return (files("identity_service.policy") / "default.toml").read_text()


def load_policy(path: str) -> Policy:
    """Load the policy from `path`, or the default one where it is empty."""
    return parse_stored(policy_text(path), path or "default.toml")


def policy_text(path: str) -> str:
    """Return the text of the policy at `path`, or of the default one where it is empty."""
    if not path:
        return default_text()
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"IDENTITY_POLICY_FILE: {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise Misconfigured(f"IDENTITY_POLICY_FILE: {path} is not text") from None
