"""The routes of the pages, and what each tells the browser it may do."""

from __future__ import annotations

import functools
from typing import Final

import structlog
from flask import Blueprint, Response, make_response, render_template, request

from identity_service import wording
from identity_service.api.operation import services_of_app
from identity_service.errors import Actor, Unavailable
from identity_service.pages import docs, hosted, join

pages: Final = Blueprint(
    "pages", __name__, template_folder="templates", static_folder="static", static_url_path="/assets"
)
log = structlog.get_logger("pages")

_INVITEE: Final = Actor(kind="system", name="join page")
_STYLED: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SCRIPTED: Final = f"{_STYLED}; script-src 'self'; connect-src 'self'"


@pages.get("/docs")
def show_docs() -> Response:
    """The API's description as a page."""
    page = make_response(_docs_page(services_of_app().settings.public_url.rstrip("/")))
    page.headers["Content-Security-Policy"] = _STYLED
    page.headers["Cache-Control"] = (
        "no-cache"  # keep it, but ask: the tag below answers for the price of none
    )
    page.add_etag()
    page.make_conditional(request)
    return page


@functools.cache
def _docs_page(public_url: str) -> str:
    return render_template("pages/docs.html", **docs.view(public_url))


@pages.get("/i/<code>")
def show_invite(code: str) -> Response:
    """Where an invite's link leads.  No effect: link previews and mail scanners open links, too.

    The page is made from the link and the settings alone.  The store is not asked, so nobody learns here
    whether a code is live.
    """
    settings = services_of_app().settings
    if settings.hosts_join:
        return hosted.show_phone(code)
    locale = wording.negotiate(request.accept_languages)
    page = make_response(
        render_template(
            "pages/join.html",
            brand=settings.brand,
            locale=locale,
            say=join.words(locale, settings.brand),
            invite=join.read(code, settings.join_url),
        )
    )
    page.headers["Content-Security-Policy"] = _SCRIPTED
    page.headers["Content-Language"] = locale
    page.headers["Vary"] = "Accept-Language"
    page.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    return page


@pages.post("/i/<code>/opened")
def note_opened(code: str) -> Response:
    """The page's beacon.  Whatever happens, the answer is the same: it must tell nobody about a code."""
    services = services_of_app()
    found = join.parse(code)
    if found is not None:
        try:
            services.store.transact(_INVITEE, lambda tx: services.invite_codes.opened(tx, found))
        except Unavailable as error:
            log.warning("beacon_lost", error=str(error))  # a statistic, not worth the invitee's time
    return Response(status=204)
