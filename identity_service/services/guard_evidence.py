"""What the guard counts: a row a message, tallied by prefix, range, inviter and branch, and the baselines.

Messages only insert; nothing that two messages share is updated, so none waits for another.  Whether a code
came back is written by whoever saw it come back; that it did not is the row's age.  Baselines are moved by
the worker, a batch at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    String,
    bindparam,
    case,
    delete,
    distinct,
    func,
    insert,
    literal_column,
    select,
    update,
)

from identity_service.db.store import Statement, Tx, binds, insert_if_new, per_dialect
from identity_service.db.tables import guard_rates, guard_sends, guard_units, marks
from identity_service.ports import DAY, HOUR, Ids, Instant
from identity_service.services.policy_book import PolicyBook
from sms.guard import Asked, Climate, Rates, Tally, Thresholds, climate_of

EVERYWHERE: Final = "all"
KINDS: Final = ("code", "own", "invite")
_EXCUSED_BEFORE: Final = 3 * HOUR
"""An outage is noticed late: what was sent so long before it was noticed is excused, too."""
_now = bindparam("now_", type_=BigInteger)
_since = bindparam("since", type_=BigInteger)
_expected_after = bindparam("expected_after", type_=BigInteger)
_sends = guard_sends.c

_NOTE = Statement(
    insert(guard_sends).values(
        outcome="none",
        **binds(
            (
                "id",
                "subject_id",
                "kind",
                "phone_id",
                "country",
                "hundred_key",
                "prefix_key",
                "range_key",
                "inviter_id",
                "branch_id",
                "campaign_id",
                "at",
            )
        ),
    )
)


def _phones(condition: Any, phone: Any) -> Any:
    return func.count(distinct(case((condition, phone))))


def _tally(column: Column[Any], *within: Any) -> Statement:
    """Count one unit's latest messages; a phone counts once for what answered, once for what did not."""
    last = (
        select(_sends.phone_id, _sends.hundred_key, _sends.outcome, _sends.at)
        .where(column == bindparam("unit"), *within, _sends.kind == bindparam("kind"), _sends.at > _since)
        .order_by(_sends.at.desc())
        .limit(bindparam("latest"))
        .subquery("last")
    )
    sent = last.c
    good, silent = sent.outcome == "answered", sent.outcome == "none"
    hundred = sent.hundred_key == bindparam("hundred")
    mine = sent.phone_id == bindparam("phone")
    return Statement(
        select(
            _phones(good, sent.phone_id).label("good"),
            _phones(silent & (sent.at <= _expected_after), sent.phone_id).label("bad"),
            _phones(silent & (sent.at > _expected_after), sent.phone_id).label("open"),
            _phones(good & hundred, sent.phone_id).label("hundred_good"),
            _phones(silent & hundred, sent.phone_id).label("hundred_silent"),
            func.count(case((silent & mine, literal_column("1")))).label("phone_silent"),
            func.count(case((silent & mine & (sent.at > _expected_after), literal_column("1")))).label(
                "phone_open"
            ),
            func.count(case((good & mine, literal_column("1")))).label("phone_good"),
        ).select_from(last)
    )


_TALLY: Final = {
    "prefix": _tally(_sends.prefix_key),
    "range": _tally(_sends.range_key),
    "inviter": _tally(_sends.inviter_id),
    "branch": _tally(_sends.branch_id),
}
_TALLY_OF_CAMPAIGN = _tally(_sends.campaign_id, _sends.country == bindparam("country"))


def _asked(column: Column[Any]) -> Statement:
    """Count what was asked for around a number, whatever became of it."""
    last = (
        select(_sends.phone_id, _sends.hundred_key, _sends.at)
        .where(column == bindparam("unit"), _sends.kind == bindparam("kind"), _sends.at > _since)
        .order_by(_sends.at.desc())
        .limit(bindparam("latest"))
        .subquery("last")
    )
    asked = last.c
    lately = asked.at > bindparam("lately", type_=BigInteger)
    hundred, mine = asked.hundred_key == bindparam("hundred"), asked.phone_id == bindparam("phone")
    return Statement(
        select(
            _phones(lately, asked.phone_id).label("lately"),
            _phones(hundred, asked.phone_id).label("hundred"),
            func.count(case((mine, literal_column("1")))).label("phone"),
        ).select_from(last)
    )


_ASKED_OF_PREFIX, _ASKED_OF_RANGE = _asked(_sends.prefix_key), _asked(_sends.range_key)
_ANSWERED = Statement(
    update(guard_sends)
    .where(_sends.subject_id == bindparam("subject"), _sends.outcome != "answered")
    .values(outcome="answered")
)
_FIRST_OF = Statement(
    select(_sends.inviter_id, _sends.campaign_id).where(_sends.subject_id == bindparam("subject")).limit(1)
)
_before, _beside = guard_sends.alias("before"), guard_sends.alias("beside")
# More than one phone: one that was prepared makes no control range.
_answered_before = (
    select(literal_column("1"))
    .where(
        _before.c.range_key == _sends.range_key,
        _before.c.kind == _sends.kind,
        _before.c.outcome == "answered",
        _before.c.at <= _since,
        select(literal_column("1"))
        .where(
            _beside.c.range_key == _before.c.range_key,
            _beside.c.kind == _before.c.kind,
            _beside.c.outcome == "answered",
            _beside.c.at <= _since,
            _beside.c.phone_id != _before.c.phone_id,
        )
        .exists(),
    )
    .exists()
)
_EXCUSE = Statement(
    update(guard_sends)
    .where(
        _sends.kind == bindparam("kind_"),
        _sends.at > _since,
        _sends.at <= bindparam("until"),
        _sends.country == bindparam("country_"),
        _sends.outcome == "none",
        _answered_before,
    )
    .values(outcome="excused")
)
_EXCUSE_ALL = Statement(
    update(guard_sends)
    .where(
        _sends.kind == bindparam("kind_"),
        _sends.at > _since,
        _sends.at <= bindparam("until"),
        _sends.outcome == "none",
        _answered_before,
    )
    .values(outcome="excused")
)
# What is usual is told by every range with a few messages a day, and by none that was blocked: whoever is let
# through on probation, or heals by luck, would else teach us that little comes back in a country.
_earlier = guard_sends.alias("earlier")
_OF_ITS_RANGE = (
    select(_earlier.c.id)
    .where(
        _earlier.c.range_key == _sends.range_key,
        _earlier.c.kind == _sends.kind,
        _earlier.c.at > _sends.at - literal_column(str(DAY), BigInteger),
        _earlier.c.at < _sends.at,
    )
    .correlate(guard_sends)
    .limit(bindparam("most"))
    .subquery()
)
_TELLS = (select(func.count()).select_from(_OF_ITS_RANGE).scalar_subquery() < bindparam("most")) & ~(
    select(literal_column("1"))
    .where(
        guard_units.c.unit_key.in_(
            [
                literal_column("'open.'", String) + _sends.prefix_key,
                literal_column("'open.'", String) + _sends.range_key,
            ]
        ),
        guard_units.c.grade > literal_column("0"),
    )
    .exists()
)
_JUDGED = Statement(
    select(
        _sends.country,
        _phones(literal_column("1") == literal_column("1"), _sends.phone_id).label("sent"),
        _phones(_sends.outcome == "answered", _sends.phone_id).label("good"),
        _phones(_TELLS, _sends.phone_id).label("told_sent"),
        _phones(_TELLS & (_sends.outcome == "answered"), _sends.phone_id).label("told_good"),
        _phones(_answered_before, _sends.range_key).label("control_sent"),
        _phones(_answered_before & (_sends.outcome == "answered"), _sends.range_key).label("control_good"),
    )
    .where(_sends.kind == bindparam("kind"), _sends.at > _since, _sends.at <= bindparam("until"))
    .group_by(_sends.country)
    .order_by(_sends.country)
)
_OLD = Statement(
    select(_sends.id)
    .where(_sends.kind == bindparam("kind"), _sends.at < bindparam("before", type_=BigInteger))
    .order_by(_sends.at)
    .limit(bindparam("limit"))
)
_FORGET = Statement(delete(guard_sends).where(_sends.id == bindparam("id_")))
_RATES = Statement(
    select(guard_rates).where(
        guard_rates.c.kind == bindparam("kind"),
        guard_rates.c.country.in_([bindparam("country"), EVERYWHERE]),
    )
)
_ALL_RATES = Statement(select(guard_rates).where(guard_rates.c.kind == bindparam("kind")))
_RATE_COLUMNS: Final = tuple(column.name for column in guard_rates.columns)


def _set_rates(new: Any) -> Any:
    row = new(guard_rates).values(binds(_RATE_COLUMNS))
    moved = [name for name in _RATE_COLUMNS if name not in ("kind", "country", "since")]
    return row.on_conflict_do_update(
        index_elements=["kind", "country"], set_={name: row.excluded[name] for name in moved}
    )


_SET_RATES = per_dialect(_set_rates)
_MARK = Statement(select(marks.c.value).where(marks.c.name == bindparam("name")))
_FIRST_MARK = insert_if_new(marks, ("name", "value"))
# Of several workers one moves the mark from where all of them saw it: the batch is counted once.
_MOVE_MARK = Statement(
    update(marks)
    .where(marks.c.name == bindparam("name_"), marks.c.value == bindparam("was", type_=BigInteger))
    .values(value=bindparam("to", type_=BigInteger))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message, as the guard remembers it."""

    subject_id: str
    kind: str
    phone_id: str
    country: str
    hundred_key: str
    prefix_key: str
    range_key: str
    inviter_id: str | None
    branch_id: str | None
    campaign_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallied:
    """A unit's tally, and within it the message's own hundred and phone."""

    tally: Tally
    hundred: Tally
    phone: Tally
    """In messages, resends included."""


class Batch(NamedTuple):
    """What was judged at once in a country: phones written to and answered, and the same of known ranges.

    `told_…` is what of it tells how much is usual to come back.
    """

    sent: int
    good: int
    told_sent: int
    told_good: int
    control_sent: int
    control_good: int


_NONE: Final = Batch(0, 0, 0, 0, 0, 0)


class GuardEvidence:
    def __init__(self, *, policies: PolicyBook, ids: Ids) -> None:
        self._policies, self._ids = policies, ids

    def answers_within(self, tx: Tx, kind: str) -> Instant:
        """Return how long a message of a kind may take to be answered."""
        policy = self._policies.of(tx)
        return policy.guard.invite_answered_within if kind == "invite" else policy.verification.life

    def _thresholds(self, tx: Tx) -> Thresholds:
        return self._policies.of(tx).guard.thresholds

    def note(self, tx: Tx, sent: Sent) -> None:
        """Remember a message, in the transaction that queues it."""
        tx.run(
            _NOTE,
            id=self._ids.new("gsn"),
            subject_id=sent.subject_id,
            kind=sent.kind,
            phone_id=sent.phone_id,
            country=sent.country,
            hundred_key=sent.hundred_key,
            prefix_key=sent.prefix_key,
            range_key=sent.range_key,
            inviter_id=sent.inviter_id,
            branch_id=sent.branch_id,
            campaign_id=sent.campaign_id,
            at=tx.now,
        )

    def answered(self, tx: Tx, subject_id: str) -> None:
        """The code of a verification or invite came back, by whichever of its messages."""
        tx.run(_ANSWERED, subject=subject_id)

    def origin_of(self, tx: Tx, subject_id: str) -> tuple[str | None, str | None]:
        """Return the inviter and the campaign that caused a subject's first message."""
        row = tx.one(_FIRST_OF, subject=subject_id)
        return (None, None) if row is None else (row.inviter_id, row.campaign_id)

    def tally(self, tx: Tx, unit: str, key: str, sent: Sent, since: Instant) -> Tallied:
        """Tally a unit's messages since an instant."""
        wanted = {
            "unit": key,
            "kind": sent.kind,
            "since": since,
            "latest": self._thresholds(tx).latest,
            "expected_after": tx.now - self.answers_within(tx, sent.kind),
            "hundred": sent.hundred_key,
            "phone": sent.phone_id,
        }
        if unit == "campaign":
            row = tx.one(_TALLY_OF_CAMPAIGN, country=sent.country, **wanted)
        else:
            row = tx.one(_TALLY[unit], **wanted)
        return Tallied(
            tally=Tally(good=row.good, bad=row.bad, open=row.open),
            hundred=Tally(good=row.hundred_good, bad=row.hundred_silent),
            phone=Tally(good=row.phone_good, bad=row.phone_silent - row.phone_open, open=row.phone_open),
        )

    def asked(self, tx: Tx, sent: Sent) -> Asked:
        """Count what was asked for around a member's own number; answers are not looked at."""
        binds_of_both = {
            "kind": sent.kind,
            "since": tx.now - DAY,
            "lately": tx.now - self.answers_within(tx, sent.kind),
            "latest": self._thresholds(tx).latest,
            "hundred": sent.hundred_key,
            "phone": sent.phone_id,
        }
        prefix = tx.one(_ASKED_OF_PREFIX, unit=sent.prefix_key, **binds_of_both)
        range_ = tx.one(_ASKED_OF_RANGE, unit=sent.range_key, **binds_of_both)
        return Asked(phone=prefix.phone, hundred=prefix.hundred, prefix=prefix.lately, range=range_.lately)

    # -- baselines ------------------------------------------------------------------------------------

    def climate(self, tx: Tx, kind: str, country: str) -> Climate:
        """Return what is usual in a country for a kind of message, and what is not now."""
        rows = {row.country: row for row in tx.all(_RATES, kind=kind, country=country)}
        return self._climate(tx, rows.get(country), rows.get(EVERYWHERE))

    def _climate(self, tx: Tx, row: Any, everywhere: Any) -> Climate:
        thresholds, now = self._thresholds(tx), tx.now
        here = _rates(row, now).decayed(now, thresholds)
        climate = climate_of(here, _rates(everywhere, now).decayed(now, thresholds), thresholds)
        noticed = any(_is_out(r, now, thresholds) for r in (row, everywhere))
        return Climate(
            base=climate.base,
            recent=climate.recent,
            volume=climate.volume,
            control=climate.control,
            pressed=climate.pressed,
            outage=noticed and not climate.rushed,
            recovered=climate.recovered,
            rushed=climate.rushed,
            silent=climate.silent,
        )

    def judge(self, tx: Tx) -> int:
        """Add what was sent and could have been answered by now to the baselines; excuse what an outage took.

        Returns:
            How many messages were judged.
        """
        count = 0
        for kind in KINDS:
            until = tx.now - self.answers_within(tx, kind)
            since = self._take_batch(tx, kind, until)
            if since is not None:
                count += self._judge(tx, kind, since, until)
        return count

    def _take_batch(self, tx: Tx, kind: str, until: Instant) -> Instant | None:
        """Return from when on this worker judges a kind; None where another one does, or it is too soon."""
        name = f"guard.judged.{kind}"
        row = tx.one(_MARK, name=name)
        if row is None:
            tx.run(_FIRST_MARK, name=name, value=until)
            return None
        if until - row.value < self.answers_within(tx, "code") // 5 or not tx.run(
            _MOVE_MARK, name_=name, was=row.value, to=until
        ):
            return None
        return int(row.value)

    def _judge(self, tx: Tx, kind: str, since: Instant, until: Instant) -> int:
        thresholds = self._thresholds(tx)
        found = {
            row.country: Batch(
                row.sent, row.good, row.told_sent, row.told_good, row.control_sent, row.control_good
            )
            for row in tx.all(_JUDGED, kind=kind, since=since, until=until, most=thresholds.range_a_day)
        }
        known = {row.country: row for row in tx.all(_ALL_RATES, kind=kind)}
        ailing = [country for country, row in known.items() if row.outage_since is not None]
        # Where nothing was sent nothing has to be written: a baseline decays by itself.
        if not found and not ailing:
            return 0
        found[EVERYWHERE] = Batch(*map(sum, zip(_NONE, *found.values(), strict=True)))
        everywhere = _rates(known.get(EVERYWHERE), tx.now).decayed(tx.now, thresholds)
        silent, told_everywhere = 0, (0, 0)
        # Everywhere comes last: by then it is known how many countries are silent.
        for country in sorted({*known, *found}, key=lambda name: (name == EVERYWHERE, name)):
            row, batch = known.get(country), found.get(country, _NONE)
            if row is not None and row.control_sent < 1 and country not in {*found, *ailing}:
                continue  # neither moved nor silent
            rates = _rates(row, tx.now).decayed(tx.now, thresholds)
            control = (batch.control_sent, batch.control_good)
            lately = rates.with_judged(batch[:2], control)
            climate = climate_of(lately, everywhere, thresholds)
            silent += climate.silent
            if country not in found and country not in ailing:
                continue
            if country == EVERYWHERE and not climate.believed_everywhere(silent):
                climate = replace(climate, outage=False)
            outage_since = _outage_since(row, climate, tx.now, thresholds)
            is_out = outage_since is not None and tx.now - outage_since <= thresholds.outage_longest
            if outage_since is not None and is_out:
                self._excuse(tx, kind, country, outage_since, until)
            if not (climate.pressed or is_out):
                # Countries that tell nothing of themselves tell nothing of everywhere.
                told = told_everywhere if country == EVERYWHERE else (batch.told_sent, batch.told_good)
                told_everywhere = (told_everywhere[0] + told[0], told_everywhere[1] + told[1])
                lately = rates.with_judged(batch[:2], control, told=told)
            self._keep(tx, kind, country, lately, outage_since)
        return found[EVERYWHERE].sent

    def _excuse(self, tx: Tx, kind: str, country: str, since: Instant, until: Instant) -> None:
        if country == EVERYWHERE:
            tx.run(_EXCUSE_ALL, kind_=kind, since=since, until=until)
        else:
            tx.run(_EXCUSE, kind_=kind, country_=country, since=since, until=until)

    def _keep(self, tx: Tx, kind: str, country: str, rates: Rates, outage_since: Instant | None) -> None:
        tx.run(
            _SET_RATES,
            kind=kind,
            country=country,
            at=rates.at,
            since=rates.since,
            long_sent=rates.long_sent,
            long_good=rates.long_good,
            told_sent=rates.told_sent,
            told_good=rates.told_good,
            short_sent=rates.short_sent,
            short_good=rates.short_good,
            control_sent=rates.control_sent,
            control_good=rates.control_good,
            outage_since=outage_since,
        )

    def baselines(self, tx: Tx) -> Iterable[tuple[str, str, Climate]]:
        """Return every country's climate, for an operator."""
        for kind in KINDS:
            rows = {row.country: row for row in tx.all(_ALL_RATES, kind=kind)}
            for country, row in sorted(rows.items()):
                yield kind, country, self._climate(tx, row, rows.get(EVERYWHERE))

    def purge(self, tx: Tx, limit: int = 500) -> int:
        """Forget up to `limit` messages of each kind that are no evidence any more."""
        count = 0
        for kind in KINDS:
            before = tx.now - self._thresholds(tx).memory - self.answers_within(tx, kind)
            old = tx.all(_OLD, kind=kind, before=before, limit=limit)
            tx.run_many(_FORGET, [{"id_": row.id} for row in old])
            count += len(old)
        return count


def _is_out(row: Any, now: Instant, thresholds: Thresholds) -> bool:
    return (
        row is not None
        and row.outage_since is not None
        and now - row.outage_since <= thresholds.outage_longest
    )


def _outage_since(row: Any, climate: Climate, now: Instant, thresholds: Thresholds) -> Instant | None:
    """Return since when a country's outage is on: it begins, goes on, or is over.

    One that lasted for too long, or that a rush ended, is kept as one that lasted for too long, though nobody
    is excused by it any more, until the control group answers again: it must not begin anew at once.
    """
    since: Instant | None = None if row is None else row.outage_since
    if since is None:
        return now - _EXCUSED_BEFORE if climate.outage else None
    if climate.recovered:
        return None
    return min(since, now - thresholds.outage_longest - 1) if climate.rushed else since


def _rates(row: Any, now: Instant) -> Rates:
    if row is None:
        return Rates(at=now, since=now)
    return Rates(
        at=row.at,
        since=row.since,
        long_sent=row.long_sent,
        long_good=row.long_good,
        told_sent=row.told_sent,
        told_good=row.told_good,
        short_sent=row.short_sent,
        short_good=row.short_good,
        control_sent=row.control_sent,
        control_good=row.control_good,
    )
