"""What happened: the event log, the audit trail, messages that no provider took, who is signed in."""

from __future__ import annotations

from flask import Response

from identity_service.dashboard.frame import Viewer, asked, dashboard, page, paging, signed_in
from identity_service.services.dashboard_access import Role

_DEAD_SHOWN = 200


@dashboard.get("/events")
@signed_in(Role.ADMIN)
def events(viewer: Viewer) -> Response:
    """The public events, newest first."""
    return _journal(viewer, public=True)


@dashboard.get("/audit")
@signed_in(Role.ADMIN)
def audit(viewer: Viewer) -> Response:
    """Everything that was written down, with what only operators see."""
    return _journal(viewer, public=False)


def _journal(viewer: Viewer, *, public: bool) -> Response:
    kind, subject = asked("type", 60), asked("subject", 40)
    found = viewer.read(
        lambda tx: viewer.services.journal.page(
            tx, paging(), public=public, type_prefix=kind, subject_id=subject
        )
    )
    return page("journal.html", found=found, public=public, kind=kind, subject=subject)


@dashboard.get("/messages/dead")
@signed_in(Role.ADMIN)
def dead_messages(viewer: Viewer) -> Response:
    rows = viewer.read(lambda tx: viewer.services.endings.dead_letters(tx, _DEAD_SHOWN))
    return page("dead_messages.html", rows=rows, most=_DEAD_SHOWN)


@dashboard.get("/messages/about/<subject_id>")
@signed_in(Role.ADMIN)
def stories(viewer: Viewer, subject_id: str) -> Response:
    """Every message about an invite, a verification or a member, step by step."""
    found = viewer.read(lambda tx: viewer.services.timeline.of_subject(tx, subject_id))
    return page("stories.html", stories=found, subject=subject_id)


@dashboard.post("/messages/dead/<message_id>/replay")
@signed_in(Role.ADMIN)
def replay(viewer: Viewer, message_id: str) -> Response:
    viewer.do(lambda tx: viewer.services.endings.replay(tx, message_id))
    return Response(status=303, headers={"Location": "/dashboard/messages/dead"})


@dashboard.get("/sessions")
@signed_in(Role.ADMIN)
def sessions(viewer: Viewer) -> Response:
    rows = viewer.read(viewer.services.dashboard.sessions)
    return page("sessions.html", rows=rows)


@dashboard.post("/sessions/<session_id>/end")
@signed_in(Role.ADMIN)
def end_session(viewer: Viewer, session_id: str) -> Response:
    viewer.do(lambda tx: viewer.services.dashboard.end(tx, session_id))
    return Response(status=303, headers={"Location": "/dashboard/sessions"})
