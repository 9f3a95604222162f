"""Members: finding one, and everything that is known of one, a tab a topic.

A growth role sees a member's place, state and numbers under a pseudonym; who it is, its phone, its messages,
sanctions and history are for administrators.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from flask import Response, redirect, request
from flask.wrappers import Response as FlaskResponse

from identity_service.dashboard.frame import Viewer, asked, dashboard, page, paging, signed_in
from identity_service.db.store import Tx
from identity_service.errors import Refused, invalid
from identity_service.ports import Instant, instant_of
from identity_service.services.dashboard_access import Role
from identity_service.services.members import MemberView
from identity_service.services.paging import Paging
from identity_service.services.sanctions import Action, Impose
from identity_service.services.trust import MemberTrust

STATES: Final = ("active", "suspended", "banned", "erased")
_PATH_SHOWN: Final = 60
_HISTORY_SHOWN: Final = 500
_NAMED_SOURCES: Final = ("inviter", "invitee")


# -- finding ----------------------------------------------------------------------------------------------


@dashboard.get("/members")
@signed_in()
def members(viewer: Viewer) -> Response:
    """Members, the first ones first; administrators find one by id, external id or phone."""
    wanted = asked("q")
    if wanted and viewer.is_admin:
        return _find(viewer, wanted)
    state = request.args.get("state", "")
    known = state if state in STATES else None
    found = viewer.read(lambda tx: viewer.services.members.page(tx, paging(), state=known))
    return page("members.html", found=found, state=known, states=STATES, q="", missed=False)


def _find(viewer: Viewer, wanted: str) -> Response:
    services = viewer.services

    def search(tx: Tx) -> str | None:
        if wanted.startswith("+"):
            # Tells whose number it is, so it is written into the audit like the API's look-up.
            return services.members.lookup(tx, services.phones.read(wanted, "/q")).id
        if wanted.startswith("mem_"):
            return services.members.get(tx, wanted).id
        return services.members.with_external_ids(tx, [wanted]).get(wanted)

    try:
        found = viewer.do(search) if wanted.startswith("+") else viewer.read(search)
    except Refused:
        found = None
    if found is None:
        empty = viewer.read(lambda tx: services.members.page(tx, Paging(limit=1), external_id=wanted))
        return page("members.html", 404, found=empty, state=None, states=STATES, q=wanted, missed=True)
    return _to(found)


def _to(ref: str, tab: str = "") -> Response:
    where = f"/dashboard/members/{ref}{'/' if tab else ''}{tab}"
    answer: FlaskResponse = redirect(where, code=303)  # type: ignore[assignment]
    return answer


# -- one member -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A tab: what it reads, and who may."""

    template: str
    read: Callable[[Viewer, Tx, MemberView], dict[str, Any]]
    admin: bool = False


def _show(viewer: Viewer, ref: str, tab: str, status: int = 200, /, **more: Any) -> Response:
    """Render one tab of a member's page."""
    topic = TOPICS.get(tab)
    if topic is None:
        raise Refused("not_found", "There is no such page.")
    if topic.admin and not viewer.is_admin:
        raise Refused("role_missing", "This page is for administrators.")
    member_id = viewer.names.id_of(ref)

    def read(tx: Tx) -> dict[str, Any]:
        member = viewer.services.members.get(tx, member_id)
        return {"member": member} | topic.read(viewer, tx, member)

    tabs = [name for name, one in TOPICS.items() if viewer.is_admin or not one.admin]
    return page(topic.template, status, ref=ref, tab=tab, tabs=tabs, **(viewer.read(read) | more))


@dashboard.get("/members/<ref>")
@signed_in()
def member(viewer: Viewer, ref: str) -> Response:
    return _show(viewer, ref, "")


@dashboard.get("/members/<ref>/<tab>")
@signed_in()
def member_tab(viewer: Viewer, ref: str, tab: str) -> Response:
    return _show(viewer, ref, tab)


def _summary(viewer: Viewer, tx: Tx, member: MemberView) -> dict[str, Any]:
    services = viewer.services
    above = services.members.ancestors(tx, member.id, Paging(limit=_PATH_SHOWN))
    decision = services.eligibility.decide(tx, member.id)
    trust = services.trust.explain(tx, member.id)
    known = {one.id: one.external_id for one in above.data}
    return {
        "trust": trust,
        "drawing": _sum_of_trust(viewer, trust, known),
        "known": known,
        "path": list(reversed(above.data)),
        "path_cut": above.has_more,
        "decision": decision,
        "available": decision.granted + decision.earned,
    }


def _sum_of_trust(viewer: Viewer, trust: MemberTrust, known: Mapping[str, str | None]) -> str:
    """Return what the chart draws: each line from where the one before ended, the score last."""
    lines = trust.explanation.lines
    sources = [
        viewer.say.told(line.detail)
        if line.source == "evidence"
        else viewer.say(f"trust.source.{line.source}")
        for line in lines
    ]
    named = [
        f"{source} {viewer.names.label(str(line.member), known.get(str(line.member)))}"
        if line.source in _NAMED_SOURCES
        else source
        for source, line in zip(sources, lines, strict=True)
    ]
    return json.dumps(
        {
            "kind": "sum",
            "labels": named,
            "values": [line.log_odds for line in lines],
            "total": viewer.say("trust.total"),
        }
    )


def _invitees(viewer: Viewer, tx: Tx, member: MemberView) -> dict[str, Any]:
    return {"found": viewer.services.members.invitees(tx, member.id, paging())}


def _invites(viewer: Viewer, tx: Tx, member: MemberView) -> dict[str, Any]:
    return {"found": viewer.services.invites.page(tx, paging(), issuer_id=member.id)}


def _quota(viewer: Viewer, tx: Tx, member: MemberView) -> dict[str, Any]:
    quota = viewer.services.quota
    return {"balance": quota.balance(tx, member.id), "found": quota.entries(tx, member.id, paging())}


def _sanctions(viewer: Viewer, tx: Tx, member: MemberView) -> dict[str, Any]:
    return {
        "found": viewer.services.sanctions.page(tx, member.id, paging()),
        "actions": [action.value for action in Action],
        "draft": None,
        "preview": None,
        "refusal": None,
    }


def _history(viewer: Viewer, tx: Tx, member: MemberView) -> dict[str, Any]:
    rows = viewer.services.journal.about(tx, member.id, _HISTORY_SHOWN)
    return {"rows": list(reversed(rows)), "most": _HISTORY_SHOWN}


TOPICS: Final = {
    "": Topic(template="member.html", read=_summary),
    "invitees": Topic(template="member_invitees.html", read=_invitees),
    "invites": Topic(template="member_invites.html", read=_invites, admin=True),
    "quota": Topic(template="member_quota.html", read=_quota),
    "sanctions": Topic(template="member_sanctions.html", read=_sanctions, admin=True),
    "history": Topic(template="member_history.html", read=_history, admin=True),
}


# -- acts ---------------------------------------------------------------------------------------------------


@dashboard.post("/members/<ref>/number")
@signed_in(Role.ADMIN)
def read_number(viewer: Viewer, ref: str) -> Response:
    """Show the full number once, for a reason that is journalled."""
    reason = asked("reason", 1000)
    try:
        number = viewer.do(lambda tx: viewer.services.disclosure.number_of(tx, ref, reason))
    except Refused as refused:
        if refused.code != "validation_failed":
            raise
        return _show(viewer, ref, "", 422, number_refusal=refused)
    return _show(viewer, ref, "", full_number=number)


@dashboard.post("/members/<ref>/sanctions")
@signed_in(Role.ADMIN)
def impose(viewer: Viewer, ref: str) -> Response:
    """Preview a sanction, and impose it only when the preview was confirmed."""
    draft = {name: asked(name, 2000) for name in ("action", "reason_code", "explanation", "expires_at")}
    confirmed = request.form.get("confirmed") == "yes"
    sanctions = viewer.services.sanctions
    try:
        wanted = _wanted(ref, draft)
        if confirmed:
            viewer.do(lambda tx: sanctions.impose(tx, wanted))
            return _to(ref, "sanctions")
        preview = viewer.do(lambda tx: sanctions.preview(tx, wanted))
    except Refused as refused:
        if refused.code == "not_found":
            raise
        return _show(viewer, ref, "sanctions", 422, draft=draft, refusal=refused)
    return _show(viewer, ref, "sanctions", draft=draft, preview=preview)


def _wanted(member_id: str, draft: dict[str, str]) -> Impose:
    if draft["action"] not in {action.value for action in Action}:
        raise invalid("/action", "unknown", "Choose what is done.")
    code = draft["reason_code"]
    if not (1 <= len(code) <= 60 and code.isascii() and code.replace("_", "").isalnum()):
        raise invalid("/reason_code", "malformed", "A reason code is letters, digits and _, 60 at most.")
    if not draft["explanation"]:
        raise invalid("/explanation", "missing", "The member reads the explanation; it cannot be empty.")
    return Impose(
        member_id=member_id,
        action=Action(draft["action"]),
        reason_code=code,
        explanation=draft["explanation"],
        expires_at=_instant(draft["expires_at"]),
    )


def _instant(text: str) -> Instant | None:
    """Read what a date-and-time field gives; it has no zone, and the page says that it means UTC."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid("/expires_at", "malformed", "A time is YYYY-MM-DDTHH:MM, in UTC.") from None
    return instant_of(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


@dashboard.post("/members/<ref>/sanctions/<sanction_id>/lift")
@signed_in(Role.ADMIN)
def lift(viewer: Viewer, ref: str, sanction_id: str) -> Response:
    explanation = asked("explanation", 2000)
    if not explanation:
        raise invalid("/explanation", "missing", "The member reads the explanation; it cannot be empty.")
    viewer.do(lambda tx: viewer.services.sanctions.lift(tx, sanction_id, explanation))
    return _to(ref, "sanctions")
