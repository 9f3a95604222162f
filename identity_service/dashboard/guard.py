"""What the pumping guard decided, with its reasons; each decision can be released."""

from __future__ import annotations

from flask import Response, request

from identity_service.dashboard.frame import Viewer, asked, dashboard, page, paging, signed_in
from identity_service.errors import invalid
from identity_service.services.dashboard_access import Role


@dashboard.get("/guard")
@signed_in(Role.ADMIN)
def guard(viewer: Viewer) -> Response:
    """Decisions, newest first; only those in force where that is asked."""
    in_force = request.args.get("in_force") == "yes"
    decisions = viewer.services.guard.decisions
    found = viewer.read(lambda tx: decisions.page(tx, paging(), in_force=in_force))
    return page("guard.html", found=found, in_force=in_force)


@dashboard.post("/guard/<decision_id>/release")
@signed_in(Role.ADMIN)
def release(viewer: Viewer, decision_id: str) -> Response:
    reason = asked("reason", 500)
    if not reason:
        raise invalid("/reason", "missing", "Say why; the audit log keeps it.")
    viewer.do(lambda tx: viewer.services.guard.decisions.release(tx, decision_id, reason))
    return Response(status=303, headers={"Location": "/dashboard/guard"})
