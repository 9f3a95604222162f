"""The event log: in order, without gaps, for ever at the same place."""

from __future__ import annotations

import json

from tests.service.steps import Body, link, no, ok, sanction
from tests.support.world import Api, World


def _all(api: Api, query: str = "") -> list[Body]:
    return list(ok(api.get(f"/v1/events?limit=500{query}"))["data"])


def _busy(world: World) -> Api:
    api, seed = world.api(), world.seed(quota=9)
    for turn in range(4):
        world.join(api, seed.id)
        if turn % 2:
            world.work()
    made = link(api, seed.id)
    ok(api.post(f"/v1/invites/{made['id']}/revoke", {"reason": "a slip"}))
    sanction(api, seed.id, "warn")
    world.work()
    return api


def test_events_are_numbered_in_order_without_gaps_and_only_after_their_commit(world: World) -> None:
    api = _busy(world)
    events = _all(api)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {"invite.issued", "member.joined", "quota.granted", "invite.revoked", "sanction.imposed"} <= {
        event["type"] for event in events
    }
    # A refused registration told nothing, although it ran.
    no(api.post("/v1/invites", {"issuer_id": "mem_none", "channel": "link"}), 422, "validation_failed")
    world.work()
    assert _all(api) == events


def test_events_are_never_renumbered_or_changed_by_what_comes_later(world: World) -> None:
    api = _busy(world)
    before = _all(api)
    seed = world.seed(quota=1)
    link(api, seed.id)
    world.work()
    after = _all(api)
    assert after[: len(before)] == before
    assert len(after) > len(before)


def test_a_reader_goes_on_after_an_id_a_seq_or_a_cursor_alike(world: World) -> None:
    api = _busy(world)
    events = _all(api)
    at = events[4]
    rest = events[5:]
    page = ok(api.get("/v1/events?limit=5"))
    assert page["has_more"]
    for after in (at["id"], at["seq"], page["next_cursor"]):
        assert _all(api, f"&after={after}") == rest


def test_a_reader_that_pages_sees_each_event_once_and_can_come_back_for_more(world: World) -> None:
    api = _busy(world)
    seen: list[Body] = []
    cursor = "0"
    while True:
        page = ok(api.get(f"/v1/events?limit=3&after={cursor}"))
        seen += page["data"]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            break
    assert seen == _all(api)
    assert ok(api.get(f"/v1/events?after={cursor}")) == {"data": [], "next_cursor": cursor, "has_more": False}
    world.seed()
    world.work()
    assert [event["type"] for event in _all(api, f"&after={cursor}")] == ["member.joined"]


def test_types_are_filtered_and_keep_their_numbers(world: World) -> None:
    api = _busy(world)
    chosen = [e for e in _all(api) if e["type"] in ("member.joined", "invite.revoked")]
    assert _all(api, "&types=member.joined,%20invite.revoked") == chosen
    assert _all(api, "&types=no.such.type") == []


def test_a_place_that_is_none_is_refused(world: World) -> None:
    api = _busy(world)
    for after in ("evt_none", "x", "-1", "1.5", "9" * 40, "٣"):
        no(api.get(f"/v1/events?after={after}"), 400, "cursor_invalid")


def test_what_is_for_the_audit_alone_is_not_an_event(world: World) -> None:
    api = _busy(world)
    private = world.query(
        lambda tx: [row for row in world.services.journal.latest(tx, 500) if not row.public]
    )
    assert private
    ids = {event["id"] for event in _all(api)}
    assert not ids & {row.id for row in private}
    no(api.get(f"/v1/events?after={private[0].id}"), 400, "cursor_invalid")
    assert "a slip" not in json.dumps(_all(api))  # an operator's words stay in the audit


def test_the_audit_chain_holds_and_an_altered_row_breaks_it(world: World) -> None:
    from identity_service.db.tables import journal

    _busy(world)
    held, broken = world.query(world.services.journal.verify)
    assert broken is None
    assert held > 10
    change = journal.update().where(journal.c.seq == 5).values(actor="somebody else")
    world.transact(lambda tx: tx.change(change))
    held, broken = world.query(world.services.journal.verify)
    assert (held, broken.seq) == (4, 5)


def test_events_need_their_scope(world: World) -> None:
    no(world.api("members:read").get("/v1/events"), 403, "scope_missing")


def test_a_reader_of_rare_types_moves_on_over_everything_else(world: World) -> None:
    api = _busy(world)
    newest = _all(api)[-1]["seq"]
    page = ok(api.get("/v1/events?types=no.such_type"))
    assert page == {"data": [], "next_cursor": str(newest), "has_more": False}
    first = ok(api.get("/v1/events?types=member.joined&limit=1"))
    assert (first["next_cursor"], first["has_more"]) == (str(first["data"][0]["seq"]), True)
