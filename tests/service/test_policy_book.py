"""The policy in force: announced, in force at its time, the same in every process, one for a transaction."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from identity_service.container import build, open_engine
from identity_service.errors import Misconfigured, Refused
from identity_service.policy.rules import default_text
from identity_service.ports import DAY, HOUR, SECOND, Instant
from identity_service.services.policy_book import LEAD, LOOK_AGAIN, Announce, PolicyBook
from tests.service.steps import Body, no, ok, stop_clock
from tests.support.world import OPERATOR, Api, World


def rules(version: str, most: int = 7) -> str:
    """The default policy under another name, by which no member may issue more than `most` uses at once."""
    changed = default_text().replace('version = "2026-11-1"', f'version = "{version}"')
    return changed.replace("member_max_uses = 100\n", f"member_max_uses = {most}\n")


def announce(world: World, wanted: str, at: Instant | None = None, after: int | None = None) -> Any:
    book = world.services.policies

    def use_case(tx: Any) -> Any:
        known = book.head(tx).number if after is None else after
        return book.announce(tx, Announce(text=wanted, reason="a test", after=known, in_force_from=at))

    return world.transact(use_case)


def version(world: World, book: PolicyBook | None = None) -> str:
    return str(world.query((book or world.services.policies).edition).version)


def events(api: Api, kind: str) -> list[Body]:
    return list(ok(api.get(f"/v1/events?types={kind}"))["data"])


def test_the_settings_rule_until_an_announced_policy_takes_force_at_its_time(world: World) -> None:
    api, seed = world.api(), world.seed(quota=50)
    many = {"issuer_id": seed.id, "channel": "link", "max_uses": 8}
    announce(world, rules("strict"), world.clock.now() + DAY)
    assert version(world) == "2026-11-1"
    ok(api.post("/v1/invites", many), 201)
    world.clock.advance(DAY - 5 * SECOND)
    assert version(world) == "2026-11-1"
    world.clock.advance(6 * SECOND)
    assert version(world) == "strict"
    no(api.post("/v1/invites", many), 422, "validation_failed")
    assert ok(api.get(f"/v1/members/{seed.id}/invite-eligibility"))["policy_version"] == "strict"


def test_a_policy_that_is_wanted_at_once_takes_force_when_every_process_can_know_it(world: World) -> None:
    other = build(world.settings, open_engine(world.settings), clock=world.clock)
    assert version(world, other.policies) == "2026-11-1"
    made = announce(world, rules("strict")).edition
    assert made.in_force_from - made.announced_at == LEAD > LOOK_AGAIN
    world.clock.advance(LEAD)
    assert version(world) == version(world, other.policies) == "strict"
    other.store.engine.dispose()


def test_one_transaction_sees_one_policy_whatever_happens_meanwhile(world: World) -> None:
    book = world.services.policies
    announce(world, rules("strict"), world.clock.now() + HOUR)
    with world.services.store.read(OPERATOR) as tx:
        before = book.of(tx)
        world.clock.advance(2 * HOUR)
        assert version(world) == "strict"
        assert book.of(tx) is before


def test_looking_for_a_new_policy_costs_one_query_in_half_a_second(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from identity_service.db.store import Tx

    asked = 0
    look = Tx.all

    def counted(self: Tx, statement: Any, **values: Any) -> list[Any]:
        nonlocal asked
        asked += "FROM policies" in statement.on(self._dialect).sql
        return look(self, statement, **values)

    version(world)
    stop_clock(world)
    monkeypatch.setattr(Tx, "all", counted)
    for _ in range(50):
        version(world)
    assert asked <= 1


def test_a_later_announcement_replaces_one_that_waits_and_history_keeps_both(world: World) -> None:
    api, now = world.api(), world.clock.now()
    announce(world, rules("in two days"), now + 2 * DAY)
    announce(world, rules("tomorrow"), now + DAY)
    announce(world, rules("in three days", 9), now + 3 * DAY)
    shown = ok(api.get("/v1/policy"))
    assert (shown["version"], shown["source"], shown["in_force_from"]) == ("2026-11-1", "settings", None)
    assert [one["version"] for one in shown["announced"]] == ["tomorrow", "in three days"]
    assert shown["announced"][1]["changes"] == [
        {"rule": "invites.member_max_uses", "before": "7", "after": "9"}
    ]
    world.clock.advance(2 * DAY + HOUR)
    assert version(world) == "tomorrow"
    for _ in range(2):
        world.work()
    world.clock.advance(DAY)
    for _ in range(2):
        world.work()
    assert [one["data"]["version"] for one in events(api, "policy.in_force")] == ["tomorrow", "in three days"]
    history = world.query(world.services.policies.history)
    assert [one.version for one in history] == ["2026-11-1", "in two days", "tomorrow", "in three days"]


def test_an_announcement_tells_every_rule_that_changes_and_the_reason_to_the_audit_alone(
    world: World,
) -> None:
    api = world.api()
    announce(world, rules("strict"))
    world.work()
    (told,) = events(api, "policy.announced")
    assert told["data"]["version"] == "strict"
    assert told["data"]["changes"] == [{"rule": "invites.member_max_uses", "before": "100", "after": "7"}]
    assert "a test" not in str(told)
    rows = world.query(lambda tx: world.services.journal.about(tx, "policy"))
    assert [(row.type, row.actor) for row in rows] == [("policy.announced", "tester")]
    assert "a test" in rows[0].detail


def test_a_version_names_one_text_for_ever_and_the_same_text_may_come_back(world: World) -> None:
    announce(world, rules("a"))
    with pytest.raises(Refused, match="policy_version_taken"):
        announce(world, rules("a", 8))
    with pytest.raises(Refused, match="policy_unchanged"):
        announce(world, rules("a"))
    announce(world, rules("b", 8))
    announce(world, rules("a"))
    world.clock.advance(LEAD)
    assert version(world) == "a"


def test_a_change_that_was_not_seen_is_refused(world: World) -> None:
    announce(world, rules("a"))
    with pytest.raises(Refused, match="policy_changed_meanwhile"):
        announce(world, rules("b"), after=0)


def test_what_is_no_policy_or_comes_too_late_changes_nothing(world: World) -> None:
    with pytest.raises(Misconfigured):
        announce(world, rules("a").replace("[misses]", "[mises]"))
    with pytest.raises(Refused, match="validation_failed"):
        announce(world, rules("a"), world.clock.now() - SECOND)
    assert len(world.query(world.services.policies.history)) == 1


def test_an_announcement_that_is_undone_is_not_remembered(world: World) -> None:
    book = world.services.policies

    def undone(tx: Any) -> None:
        book.announce(tx, Announce(text=rules("a"), reason="x", after=0))
        raise Refused("undo", "a dry run")

    with pytest.raises(Refused, match="undo"):
        world.transact(undone)
    world.clock.advance(DAY)
    assert version(world) == "2026-11-1"


def test_a_policy_that_this_release_cannot_read_leaves_the_one_before_in_force(world: World) -> None:
    announce(world, rules("a"))
    announce(world, rules("b", 8))
    with world.services.store.engine.begin() as connection:
        connection.execute(text("UPDATE policies SET text = 'tomorrow = 1' WHERE number = 2"))
    other = build(world.settings, open_engine(world.settings), clock=world.clock)
    world.clock.advance(LEAD)
    with other.store.read(OPERATOR) as tx:
        edition = other.policies.edition(tx)
        assert (edition.version, edition.readable, edition.policy.version) == ("b", False, "a")
    other.store.engine.dispose()


def test_a_stored_policy_that_lacks_a_rule_of_a_newer_release_gets_its_default(world: World) -> None:
    announce(world, rules("a"))
    lacking = rules("a").replace('hold = "30m"', "# hold").replace("[misses]\nlimits", "# misses")
    with world.services.store.engine.begin() as connection:
        connection.execute(text("UPDATE policies SET text = :text"), {"text": lacking})
    other = build(world.settings, open_engine(world.settings), clock=world.clock)
    world.clock.advance(LEAD)
    with other.store.read(OPERATOR) as tx:
        policy = other.policies.of(tx)
    assert (policy.version, policy.invites.member_max_uses) == ("a", 7)
    assert policy.invites.hold == world.query(world.services.policies.of).invites.hold
    other.store.engine.dispose()
