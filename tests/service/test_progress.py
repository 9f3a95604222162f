"""First times and active days: written once, on both stores, and carried over from before they were."""

from __future__ import annotations

from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import text

from identity_service.db import migrate
from identity_service.db.tables import activity, invites
from identity_service.ports import DAY
from identity_service.services.progress import day_of
from identity_service.services.signals import Signal, SignalKind
from tests.support.world import World


def days_of(world: World, member_id: str) -> set[int]:
    rows = world.query(lambda tx: tx.select(activity.select().where(activity.c.member_id == member_id)))
    return {row.block * 28 + day for row in rows for day in range(28) if row.days >> day & 1}


def test_each_day_is_noted_once_however_often_a_member_shows_up(world: World) -> None:
    member = world.seed().id
    expected = set()
    for ahead in (0, 0, 1, 27, 28, 400):
        world.clock.advance(ahead * DAY)
        told = Signal(member_id=member, kind=SignalKind.ACTIVITY)
        world.transact(lambda tx, told=told: world.services.signals.receive(tx, told))
        expected.add(day_of(world.clock.now()))
    assert days_of(world, member) == expected


def test_a_login_is_activity(world: World) -> None:
    phone = world.phone()
    member, api = world.seed(phone=phone).id, world.api()
    assert days_of(world, member) == set()
    proof = world.verify(api, phone, "login")
    assert api.post("/v1/logins", {"proof": proof}).status_code == 200
    assert days_of(world, member) == {day_of(world.clock.now())}


def test_the_first_time_of_a_step_stays(world: World) -> None:
    api, seed = world.api(), world.seed(quota=5).id
    link = api.post("/v1/invites", {"issuer_id": seed, "channel": "link", "max_uses": 2}).json
    assert link is not None

    def steps() -> Any:
        (row,) = world.query(lambda tx: tx.select(invites.select().where(invites.c.id == link["id"])))
        return row.requested_at, row.verified_at

    world.verify(api, world.phone(), "registration", invite_code=link["code"])
    first = steps()
    assert None not in first
    world.clock.advance(DAY)
    world.verify(api, world.phone(), "registration", invite_code=link["code"])
    assert steps() == first


def test_a_database_with_data_learns_what_can_still_be_known(world: World) -> None:
    """The migration's own statements, over what the service wrote by itself."""
    phone = world.phone()
    api, seed = world.api(), world.seed(quota=5).id
    joined = world.join(api, seed)["member"]["id"]
    api.post("/v1/invites", {"issuer_id": seed, "channel": "sms", "phone": phone})
    world.invite_code(phone)
    for kind in (SignalKind.ACTIVATED, SignalKind.ACTIVITY):
        told = Signal(member_id=joined, kind=kind)
        world.transact(lambda tx, told=told: world.services.signals.receive(tx, told))
        world.clock.advance(DAY)
    told_of = (
        "SELECT id, sent_at, delivered_at, requested_at, verified_at FROM invites ORDER BY id",
        "SELECT id, activated_at FROM members ORDER BY id",
        "SELECT block, member_id, days FROM activity ORDER BY member_id",
    )

    def look() -> list[list[Any]]:
        return [world.query(lambda tx, sql=sql: tx.select(text(sql))) for sql in told_of]

    before = look()
    with world.services.store.engine.begin() as connection:
        steps = "sent_at = NULL, delivered_at = NULL, requested_at = NULL, verified_at = NULL"
        connection.execute(text(f"UPDATE invites SET {steps}"))
        connection.execute(text("UPDATE members SET activated_at = NULL"))
        connection.execute(text("DELETE FROM activity"))
        script = next(
            one
            for one in ScriptDirectory(str(migrate.MIGRATIONS)).walk_revisions()
            if one.doc.startswith("First times")
        )
        with Operations.context(MigrationContext.configure(connection)):
            script.module._fill()
    assert look() == before
    assert before[2]
