"""Guard decisions on a page: seen with their reasons, released with one."""

from __future__ import annotations

from identity_service.services.guard_decisions import Subject
from tests.dashboard.conftest import Visitor
from tests.support.world import World


def test_a_decision_is_seen_and_released_for_a_reason(world: World, admin: Visitor) -> None:
    assert "has decided nothing" in admin.get("/guard").text
    about = Subject(unit="country", key="country.BR", name="BR", country="BR")
    decisions = world.services.guard.decisions
    decision = world.transact(lambda tx: decisions.set(tx, about, "block", "too many, said the carrier"))
    page = admin.get("/guard?in_force=yes").text
    assert "Brazil" in page
    assert decision in page
    admin.post(f"/guard/{decision}/release", code=422)
    admin.post(f"/guard/{decision}/release", {"reason": "it was a holiday"})
    assert decision not in admin.get("/guard?in_force=yes").text
    assert "it was a holiday" in admin.get("/guard").text
    admin.post("/guard/gdn_x/release", {"reason": "nothing"}, code=404)


def test_guard_decisions_are_for_administrators(growth: Visitor) -> None:
    growth.get("/guard", code=403)
