"""Signing in by a one-time link, signing out, choosing the language.

A link's token stands behind `#` in its address, which browsers send to nobody: no proxy logs it, no preview
of the link uses it up.  The page's script posts it; without scripts a person pastes it into the field.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Response, g, make_response, redirect, request

from identity_service import wording
from identity_service.dashboard.frame import (
    LANGUAGE_COOKIE,
    Viewer,
    cookie_name,
    dashboard,
    is_https,
    page,
    services_of_app,
    signed_in,
    viewer_of,
)
from identity_service.errors import Actor, Refused
from identity_service.ports import SECOND
from identity_service.services.dashboard_access import LONGEST


@dashboard.get("/sign-in")
def door() -> Response:
    """The door.  Has no effect: what opens it is posted."""
    return page("sign_in.html")


@dashboard.post("/sign-in")
def sign_in() -> Response:
    services = services_of_app()
    if not _is_our_page():
        raise Refused("form_stale", "This form is not from this site.")
    token = request.form.get("token", "").strip().rpartition("#")[2]
    actor = Actor(kind="operator", name="dashboard", request_id=g.request_id)
    try:
        session_token = services.store.transact(actor, lambda tx: services.dashboard.sign_in(tx, token))
    except Refused:
        return page("sign_in.html", 403, refused=True)
    answer = make_response(redirect("/dashboard", code=303))
    answer.set_cookie(
        cookie_name(services),
        session_token,
        max_age=LONGEST // SECOND,
        secure=is_https(services),
        httponly=True,
        samesite="Lax",
        path="/",
    )
    return answer


def _is_our_page() -> bool:
    """Whether the door's form was sent by the door, not by another site that wants us signed in as theirs."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:  # every browser of today says it, and no page can
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    hosts = {request.host, urlsplit(services_of_app().settings.public_url).netloc}
    return origin is None or urlsplit(origin).netloc in hosts


@dashboard.post("/sign-out")
@signed_in()
def sign_out(viewer: Viewer) -> Response:
    viewer.do(lambda tx: viewer.services.dashboard.end(tx, viewer.session.id))
    answer = make_response(redirect("/dashboard/sign-in", code=303))
    answer.delete_cookie(cookie_name(viewer.services), path="/", secure=is_https(viewer.services))
    return answer


@dashboard.post("/language")
def choose_language() -> Response:
    """Keep the reader's language; harmless, so the door offers it, too."""
    wanted = request.form.get("language", "")
    back = "/dashboard" if viewer_of(services_of_app()) is not None else "/dashboard/sign-in"
    answer = make_response(redirect(back, code=303))
    if wanted in wording.LOCALES:
        answer.set_cookie(
            LANGUAGE_COOKIE,
            wanted,
            max_age=365 * 24 * 3600,
            secure=is_https(services_of_app()),
            httponly=True,
            samesite="Lax",
            path="/dashboard",
        )
    return answer
