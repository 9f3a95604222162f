"""Which provider an attempt goes to, and how well each is: learnt together by all workers.

What happened to messages (`message_events`) and codes that did not come back are taken by one learner at a
time, under a lease that its transaction holds, each exactly once; it folds them into a row a provider and
place: a country, or a prefix that has a route of its own.  So a message costs no write to a row that others
wait for.  Everybody reads those rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import BigInteger, bindparam, or_, select, tuple_, update

from identity_service import telemetry
from identity_service.db.store import Statement, Tx, binds, per_dialect
from identity_service.db.tables import message_events, messages, route_health
from identity_service.policy.rules import RouteRules
from identity_service.ports import HOUR, SECOND, Instant
from identity_service.services.claims import Claimed
from identity_service.services.costs import About, Costs
from identity_service.services.policy_book import PolicyBook
from identity_service.services.pricing import Pricing
from sms.fate import Happening
from sms.health import Because, Condition, Pool, Rules, Tally, Vitals, judged, pooled_errors, usual_codes
from sms.numbers import E164
from sms.prices import ListedPrice
from sms.providers.base import FailureKind, Provider
from sms.route import Choice, Route, Routes, choose

log = structlog.get_logger("routing")
BATCH: Final = 200
ANY: Final = "*"
_TRIED_WITHIN: Final = HOUR
_MOMENT: Final = SECOND
_OUR_FAULT: Final = "worker"
_now = bindparam("now_", type_=BigInteger)
_KEY: Final = (message_events.c.message_id, message_events.c.attempt, message_events.c.what)
_new = (
    select(*_KEY)
    .where(message_events.c.learned == 0, message_events.c.at <= _now)
    .order_by(message_events.c.at)
    .limit(bindparam("limit"))
)
_TAKE_EVENTS = Statement(
    update(message_events)
    .where(tuple_(*_KEY).in_(_new), message_events.c.learned == 0)  # again: another took it meanwhile
    .values(learned=1)
    .returning(
        *_KEY,
        message_events.c.at,
        message_events.c.provider,
        message_events.c.failure,
        message_events.c.took_ms,
    )
)
_overdue = (
    select(messages.c.id)
    .where(messages.c.judge_at <= _now)
    .order_by(messages.c.judge_at)
    .limit(bindparam("limit"))
)
_TAKE_LOST = Statement(
    update(messages)
    .where(messages.c.id.in_(_overdue), messages.c.judge_at <= _now)
    .values(judge_at=None)
    .returning(messages.c.id, messages.c.provider)
)
_EVENTS_WAIT = Statement(
    select(message_events.c.message_id)
    .where(message_events.c.learned == 0, message_events.c.at <= _now)
    .limit(1)
)
_LOST_WAIT = Statement(select(messages.c.id).where(messages.c.judge_at <= _now).limit(1))
_TRIED = Statement(
    select(message_events.c.message_id, message_events.c.provider)
    .select_from(messages)
    .join(message_events, message_events.c.message_id == messages.c.id)
    .where(
        messages.c.subject_id == bindparam("subject"),
        or_(message_events.c.what == "accepted", message_events.c.what == "refused"),
        message_events.c.at > bindparam("since", type_=BigInteger),
    )
)
_ALL = Statement(select(route_health))
_FIELDS: Final = tuple(column.name for column in route_health.columns)


def _put_clause(insert: Any) -> Any:
    row = insert(route_health).values(binds(_FIELDS))
    return row.on_conflict_do_update(
        index_elements=["provider", "country"],
        set_={name: row.excluded[name] for name in _FIELDS if name not in ("provider", "country")},
    )


_PUT = per_dialect(_put_clause)
_NO_FAULT_OF_ITS: Final = frozenset({FailureKind.WRONG_NUMBER.value, FailureKind.FRAUD.value})
"""Failures that are a plain answer about the number."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A provider of a route as it stands for one place, and what it takes for a segment."""

    name: str
    vitals: Vitals | None
    share: float
    price: ListedPrice | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """How a first message to a number would go now: candidates in order, the choice, whose route it is."""

    place: str
    written_for: str | None
    """The country or prefix that has this route; None for the default."""
    candidates: list[Candidate]
    choice: Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """A choice, and whether there is another."""

    choice: Choice
    another: bool
    """Whether the route has a provider that this very message has not been with."""


class Routing:
    def __init__(
        self,
        *,
        routes: Routes,
        providers: Mapping[str, Provider],
        policies: PolicyBook,
        pricing: Pricing,
        costs: Costs,
    ) -> None:
        self._routes, self._providers, self._policies = routes, providers, policies
        self._pricing, self._costs = pricing, costs
        self._seen: tuple[Instant, dict[Key, Vitals]] = (0, {})

    # -- choosing -------------------------------------------------------------------------------------

    def choose(
        self, tx: Tx, message: Claimed, *, away: Collection[str] = (), full: Collection[str] = ()
    ) -> Routed:
        """Choose the provider for an attempt: what was tried for the same thing lately comes last.

        Parameters:
            away: providers that asked this worker for patience.
            full: providers that will have no place for a while.
        """
        route = self._routes.of(message.to, message.country)
        names = route.names
        if len(names) == 1:
            return Routed(choice=choose(names, self._providers), another=message.attempts < 1)
        rows = tx.all(_TRIED, subject=message.subject_id, since=tx.now - _TRIED_WITHIN)
        times = Counter(row.provider for row in rows)
        fewest = min(times[name] for name in names)
        places = (self._routes.place_of(message.to, message.country), message.country)
        choice = choose(
            self._in_order(tx, route, message.to, message.country),
            self._providers,
            tried=[name for name in names if times[name] > fewest],
            full=full,
            away=away,
            shares=self._shares(self._lately(tx), names, places, tx),
            written=names,
            seed=message.attempt_id,
        )
        assert choice.provider is not None
        here = {row.provider for row in rows if row.message_id == message.id} | {choice.provider.name}
        return Routed(choice=choice, another=not here >= set(names))

    def first_of(self, to: E164, country: str) -> str:
        """Return the provider that is written first for a number."""
        return self._routes.of(to, country).names[0]

    def explain(self, tx: Tx, to: E164, country: str, seed: str) -> Explained:
        """Return the candidates for a number, how well each is there, and the choice for a first message."""
        route, place = self._routes.of(to, country), self._routes.place_of(to, country)
        known = self.vitals(tx)
        shares = self._shares(known, route.names, (place, country), tx)
        ordered = self._in_order(tx, route, to, country)
        return Explained(
            place=place,
            written_for=self._routes.written_for(to, country),
            candidates=[
                Candidate(
                    name=name,
                    vitals=known.get((name, place), known.get((name, country))),
                    share=shares.get(name, 1.0),
                    price=self._pricing.of(tx, name, to, country),
                )
                for name in ordered
            ],
            choice=choose(ordered, self._providers, shares=shares, written=route.names, seed=seed),
        )

    def _in_order(self, tx: Tx, route: Route, to: E164, country: str) -> tuple[str, ...]:
        """Put those of equal rank in order by what a segment costs with each."""

        def price(name: str) -> int | None:
            listed = self._pricing.of(tx, name, to, country)
            return None if listed is None else listed.micros

        return route.ordered(price)

    def vitals(self, tx: Tx) -> dict[Key, Vitals]:
        """Return what is known of every provider and place."""
        return {(row.provider, row.country): _vitals(row) for row in tx.all(_ALL)}

    def _lately(self, tx: Tx) -> dict[Key, Vitals]:
        """Return what was known a moment ago: a queue of messages does not read it all for each."""
        at, known = self._seen
        if not 0 <= tx.now - at < _MOMENT:
            known = self.vitals(tx)
            self._seen = (tx.now, known)
        return known

    def _shares(
        self, known: Mapping[Key, Vitals], names: Iterable[str], places: tuple[str, str], tx: Tx
    ) -> dict[str, float]:
        """Return each provider's part of the messages; of one that is new here, what others make likely.

        Parameters:
            places: a number's place and its country: what is known of the country holds for a prefix of
                which nothing is known.
        """
        rules = rules_of(self._policies.of(tx).routes)
        shares = {}
        for name in names:
            told = [known[name, place] for place in places if (name, place) in known]
            judged_here = [one for one in told if _says_enough(one, rules)]
            if judged_here:
                shares[name] = judged_here[0].share
                continue
            others = [one for (provider, _), one in known.items() if provider == name]
            unwell = [one for one in others if one.condition is Condition.UNWELL]
            if len(unwell) >= 2 and 2 * len(unwell) > len(others):
                shares[name] = rules.probe_share
        return shares

    # -- learning -------------------------------------------------------------------------------------

    def has_news(self, tx: Tx) -> bool:
        """Whether something happened that nobody has learnt from."""
        return tx.one(_EVENTS_WAIT, now_=tx.now) is not None or tx.one(_LOST_WAIT, now_=tx.now) is not None

    def learn(self, tx: Tx, limit: int = BATCH) -> int:
        """Take what happened and was not learnt from, and judge every provider anew; how much it was.

        One caller at a time: the caller holds the learner's lease in this transaction.
        """
        rules = rules_of(self._policies.of(tx).routes)
        events = tx.all(_TAKE_EVENTS, now_=tx.now, limit=limit)
        lost = tx.all(_TAKE_LOST, now_=tx.now, limit=limit)
        known = self.vitals(tx)
        self._seen = (0, {})
        about = {
            message: self._costs.about(tx, message)
            for message in {row.message_id for row in events} | {row.id for row in lost}
        }
        touched: set[Key] = set()
        for row in sorted(events, key=lambda row: int(row.at)):
            if row.provider is not None and row.provider != _OUR_FAULT:
                self._sum(tx, row, about[row.message_id])
                touched |= _fold_event(known, row, about[row.message_id].place, rules)
        for row in lost:
            if row.provider is not None:
                place = about[row.id].place
                touched |= _fold_code(known, row.provider, place, tx.now, rules, came_back=False)
        self._judge(tx, known, touched, rules)
        return len(events) + len(lost)

    def _sum(self, tx: Tx, row: Any, about: About) -> None:
        """Add what costs or pays to the day's sums."""
        if row.what == Happening.ACCEPTED:
            self._costs.add(tx, about, row.provider, row.at, sent=True)
        elif row.what == Happening.CAME_BACK:
            self._costs.add(tx, about, row.provider, row.at, came_back=True)

    def _judge(self, tx: Tx, known: dict[Key, Vitals], touched: set[Key], rules: Rules) -> None:
        """Judge what was touched and what is not well, and keep both."""
        now = tx.now / SECOND
        not_well = {key for key, one in known.items() if one.condition is not Condition.WELL}
        by_provider: dict[str, list[Key]] = defaultdict(list)
        for key in known:
            by_provider[key[0]].append(key)
        for key in sorted(touched | not_well):
            provider, place = key
            was = known[key]
            if provider != ANY:
                others = [known[one] for one in by_provider[provider] if one != key]
                usual = known.get((ANY, place))
                pool = Pool(
                    errors=pooled_errors(others, rules),
                    codes=usual_codes(usual.codes if usual else Tally(), rules),
                )
                known[key] = judged(was, pool, now, rules)
                _tell_change(key, was, known[key])
            if key in touched or known[key].condition is not was.condition or known[key].share != was.share:
                tx.run(_PUT, **_row(key, known[key]))


def _says_enough(vitals: Vitals, rules: Rules) -> bool:
    """Whether a provider's row of a place may be taken at its word."""
    return vitals.condition is not Condition.WELL or vitals.answers.n >= rules.least_answers


def _fold_event(known: dict[Key, Vitals], row: Any, place: str, rules: Rules) -> set[Key]:
    """Fold one event into what is known; return which rows it touched."""
    key = (row.provider, place)
    at = row.at / SECOND
    one = known.get(key, Vitals(at=at, since=at)).until(at, rules)
    match Happening(row.what):
        case Happening.ACCEPTED:
            known[key] = one.answered(well=True, took_ms=row.took_ms or 0, rules=rules)
        case Happening.REFUSED:
            plain = row.failure in _NO_FAULT_OF_ITS
            known[key] = one.answered(well=plain, took_ms=row.took_ms or 0, rules=rules)
        case Happening.DELIVERED:
            known[key] = one.reported(arrived=True)
        case Happening.UNDELIVERED | Happening.FAILED if row.failure not in _NO_FAULT_OF_ITS:
            known[key] = one.reported(arrived=False)
        case Happening.NOT_RECEIVED:
            known[key] = one.reported(arrived=False)
        case Happening.CAME_BACK:
            return _fold_code(known, row.provider, place, row.at, rules, came_back=True)
        case _:
            return set()
    return {key}


def _fold_code(
    known: dict[Key, Vitals], provider: str, place: str, at: Instant, rules: Rules, *, came_back: bool
) -> set[Key]:
    """Fold one code's end into the provider's row, and into what is usual while the provider is well."""
    seconds = at / SECOND
    key, usual = (provider, place), (ANY, place)
    one = known.get(key, Vitals(at=seconds, since=seconds)).until(seconds, rules)
    known[key] = one.returned(came_back=came_back)
    if one.condition is not Condition.WELL:
        return {key}
    long = Rules(half_life=rules.usual_half_life)
    every = known.get(usual, Vitals(at=seconds, since=seconds)).until(seconds, long)
    known[usual] = every.returned(came_back=came_back)
    return {key, usual}


def _tell_change(key: Key, was: Vitals, now: Vitals) -> None:
    provider, place = key
    telemetry.ROUTE_SHARE.labels(provider, place).set(now.share)
    if now.condition is not was.condition:
        log.warning(
            "route_health",
            provider=provider,
            place=place,
            was=was.condition.value,
            condition=now.condition.value,
            because=now.because and now.because.value,
        )


def rules_of(rules: RouteRules) -> Rules:
    """Return the policy's rules as the pure library takes them."""
    return Rules(
        half_life=rules.half_life / SECOND,
        usual_half_life=rules.usual_half_life / SECOND,
        least_answers=rules.least_answers,
        least_codes=rules.least_codes,
        errors_enter=rules.errors,
        receipts_enter=rules.receipts,
        slow_ms=rules.slow / SECOND * 1000,
        codes_enter=rules.codes,
        codes_leave=rules.codes_again,
        least_stay=rules.least_stay / SECOND,
        probes=rules.probes,
        probe_share=rules.probe_share,
        ease_step=rules.ease_step / SECOND,
    )


def _vitals(row: Any) -> Vitals:
    return Vitals(
        at=row.at / SECOND,
        answers=Tally(good=row.answers_good, bad=row.answers_bad),
        receipts=Tally(good=row.receipts_good, bad=row.receipts_bad),
        codes=Tally(good=row.codes_good, bad=row.codes_bad),
        took_ms=row.took_ms,
        condition=Condition(row.condition),
        because=row.because and Because(row.because),
        since=row.since / SECOND,
        probes=row.probes,
        share=row.share,
    )


def _row(key: Key, vitals: Vitals) -> dict[str, Any]:
    return {
        "provider": key[0],
        "country": key[1],
        "at": int(vitals.at * SECOND),
        "answers_good": vitals.answers.good,
        "answers_bad": vitals.answers.bad,
        "receipts_good": vitals.receipts.good,
        "receipts_bad": vitals.receipts.bad,
        "codes_good": vitals.codes.good,
        "codes_bad": vitals.codes.bad,
        "took_ms": vitals.took_ms,
        "condition": vitals.condition.value,
        "because": vitals.because and vitals.because.value,
        "since": int(vitals.since * SECOND),
        "probes": vitals.probes,
        "share": vitals.share,
    }
