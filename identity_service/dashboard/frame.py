"""The frame around every page: who looks, in which language, what the browser may do, how errors look."""

from __future__ import annotations

import functools
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import structlog
from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    g,
    make_response,
    redirect,
    render_template,
    request,
)
from werkzeug.exceptions import HTTPException

from graph.said import Said
from identity_service import telemetry, wording
from identity_service.container import Container
from identity_service.dashboard.discretion import FEWEST
from identity_service.dashboard.names import Names
from identity_service.dashboard.shapes import FILTERS, NOTHING, country, number
from identity_service.db.store import Tx
from identity_service.errors import Actor, FieldError, Refused, Unavailable
from identity_service.services.dashboard_access import DashboardSession, Role
from identity_service.services.paging import Page, Paging, read_cursor

T = TypeVar("T")
P = ParamSpec("P")
dashboard: Final = Blueprint(
    "dashboard",
    __name__,
    url_prefix="/dashboard",
    template_folder="templates",
    static_folder="static",
    static_url_path="/assets",
)
log = structlog.get_logger("dashboard")

_SERVICES: Final = "dashboard"
_PACKAGE: Final = "identity_service.dashboard"
LANGUAGE_COOKIE: Final = "dashboard_language"
_PAGE: Final = 25
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_STATUS: Final = {
    "not_found": 404,
    "report_preparing": 503,
    "role_missing": 403,
    "form_stale": 403,
    "validation_failed": 422,
    "cursor_invalid": 400,
    "query_parameter_invalid": 400,
}


def install(app: Flask, services: Container) -> None:
    """Route the dashboard's pages."""
    # Each declares its pages on the blueprint; none may be missing when it is registered.
    from identity_service.dashboard import doors, guard, history, members, overview, phones, reports, tree  # noqa: F401

    app.extensions[_SERVICES] = services
    app.register_blueprint(dashboard)


def services_of_app() -> Container:
    container: Container = current_app.extensions[_SERVICES]
    return container


# -- language -----------------------------------------------------------------------------------------------


class Say:
    """The sentences of one language: `say("nav.tree")`, `say("journal.most", n=500)`."""

    def __init__(self, locale: str) -> None:
        self.locale = locale
        self._sentences: Mapping[str, str] = wording.catalogue(_PACKAGE, locale)
        self._texts: Mapping[str, str] = wording.texts(_PACKAGE, locale)

    def __call__(self, key: str, **values: object) -> str:
        sentence = self._sentences[key]
        return sentence.format(**values) if values else sentence

    def known(self, key: str, otherwise: str) -> str:
        """Return a sentence where there is one: for names that others may add to (events, rules)."""
        return self._sentences.get(key, otherwise)

    def told(self, text: str) -> str:
        """Return what another part of the service says in English, as it stands where it is not known."""
        found = self._texts.get(text.template if isinstance(text, Said) else text)
        if found is None:
            return text
        values = text.values if isinstance(text, Said) else {}
        return found.format(**{name: number(value, self.locale) for name, value in values.items()})

    def each(self, names: str) -> str:
        """Return names that stand in a row (kinds of phone, a state), each in this language."""
        return ", ".join(self.known(f"fact.{name}", name) for name in names.split())

    def refusal(self, error: Refused) -> str:
        """Return why something was refused: in full where this language has the sentence, else in short."""
        detail = error.errors[0].detail if error.errors else error.detail
        told = self.told(detail)
        if self.locale == wording.LOCALES[0] or told != detail:
            return told
        return self.known(f"error.{error.code}", self("error.title"))


def language() -> str:
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    return chosen if chosen in wording.LOCALES else wording.negotiate(request.accept_languages)


# -- who looks ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Who looks at a page, and what they may do with the service."""

    services: Container
    session: DashboardSession
    form_token: str
    names: Names
    say: Say

    @property
    def is_admin(self) -> bool:
        return self.session.role is Role.ADMIN

    @property
    def actor(self) -> Actor:
        return Actor(kind="operator", name=self.session.name, request_id=g.request_id)

    @functools.cached_property
    def _countries(self) -> frozenset[str]:
        return self.read(lambda tx: self.services.reports.countries_of_many(tx, FEWEST))

    def country(self, code: str | None) -> str:
        """Return a member's country; one of few members tells who they are."""
        return country(code, self.say.locale) if self.is_admin or code in self._countries else NOTHING

    def read(self, read: Callable[[Tx], T]) -> T:
        return self.services.store.query(self.actor, read)

    def do(self, use_case: Callable[[Tx], T]) -> T:
        return self.services.store.transact(self.actor, use_case)


def cookie_name(services: Container) -> str:
    """`__Host-` binds a cookie to this host and to https; over http, in development, browsers refuse it."""
    return "__Host-dashboard" if is_https(services) else "dashboard"


def is_https(services: Container) -> bool:
    return services.settings.public_url.startswith("https://")


def viewer_of(services: Container) -> Viewer | None:
    """Return who holds the request's session, or None."""
    token = request.cookies.get(cookie_name(services), "")
    doors, actor = services.dashboard, Actor(kind="operator", name="?", request_id=g.request_id)
    session = services.store.query(actor, lambda tx: doors.session(tx, token))
    if session is None:
        return None
    if session.stale:
        services.store.transact(actor, lambda tx: doors.touch(tx, session.id))
    g.client = f"dashboard:{session.role}"
    return Viewer(
        services=services,
        session=session,
        form_token=doors.form_token(token),
        names=Names(session.role, services.hasher, services.seal),
        say=Say(language()),
    )


def signed_in(
    role: Role = Role.GROWTH,
) -> Callable[[Callable[Concatenate[Viewer, P], Response]], Callable[P, Response]]:
    """Give the decorated page its viewer; who is not signed in is led to the door.

    A form must carry its session's token, whatever the browser's cookie rules are.
    """

    def decorate(view: Callable[Concatenate[Viewer, P], Response]) -> Callable[P, Response]:
        @functools.wraps(view)
        def guarded(*args: P.args, **values: P.kwargs) -> Response:
            services = services_of_app()
            viewer = viewer_of(services)
            if viewer is None:
                return _to_the_door()
            g.viewer = viewer
            if role is Role.ADMIN and not viewer.is_admin:
                raise Refused("role_missing", "This page is for administrators.")
            if request.method == "POST":
                _check_form(services)
            return view(viewer, *args, **values)

        return guarded

    return decorate


def _to_the_door() -> Response:
    door = "/dashboard/sign-in"
    if request.headers.get("HX-Request") or request.path.endswith(".json"):
        answer = Response(status=401)
        answer.headers["HX-Redirect"] = door
        return answer
    return make_response(redirect(door, code=303))


def _check_form(services: Container) -> None:
    given = request.form.get("form_token", "")
    token = request.cookies.get(cookie_name(services), "")
    if not any(
        hmac.compare_digest(given.encode(), one.encode()) for one in services.dashboard.form_tokens(token)
    ):
        raise Refused("form_stale", "This form is not from your session; load the page again.")


# -- pages --------------------------------------------------------------------------------------------------


def page(template: str, status: int = 200, /, **values: Any) -> Response:
    """Render a page for whoever looks."""
    viewer: Viewer | None = g.get("viewer")
    say = viewer.say if viewer is not None else Say(language())
    made = make_response(
        render_template(
            f"dashboard/{template}",
            viewer=viewer,
            names=None if viewer is None else viewer.names,
            say=say,
            locale=say.locale,
            brand=services_of_app().settings.brand,
            places=_places(services_of_app()),
            **values,
        ),
        status,
    )
    made.headers["Content-Security-Policy"] = _POLICY
    made.headers["Referrer-Policy"] = "same-origin"  # without any, a form's Origin would be `null`
    made.headers["Content-Language"] = say.locale
    made.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    return made


def _places(services: Container) -> set[str]:
    """Return which pages there are to go to."""
    places = {"overview", "reports", "tree", "members", "events", "audit", "dead", "guard", "sessions"}
    if "inbox" in services.settings.providers and not services.settings.production:
        places.add("phones")
    return places


def paging(limit: int = _PAGE) -> Paging:
    """Read which page of a list is asked for.

    Raises:
        Refused: `cursor_invalid`.
    """
    given = request.args.get("cursor", "")
    viewer: Viewer = g.viewer
    return Paging(limit=limit, after=read_cursor(viewer.names.cursor_of(given)) if given else None)


def asked(name: str, longest: int = 255) -> str:
    """Return a query parameter or a form's field, trimmed; empty where it is missing.

    Raises:
        Refused: `validation_failed`, where it is too long or holds what no text holds.
    """
    text = request.values.get(name, "").strip()
    if len(text) > longest or "\x00" in text:
        detail = f"At most {longest} characters, and no NUL."
        raise Refused(
            "validation_failed",
            detail,
            errors=(FieldError(pointer=f"/{name}", code="text_invalid", detail=detail),),
        )
    return text


@dashboard.errorhandler(Refused)
def refused(error: Refused) -> Response:
    telemetry.REFUSALS.labels(error.code).inc()
    status = _STATUS.get(error.code, 409)
    if request.headers.get("HX-Request"):
        return page("part_refusal.html", status, error=error)
    return page("error.html", status, code=error.code, refusal=error)


@dashboard.errorhandler(Unavailable)
def unavailable(error: Unavailable) -> Response:
    log.error("store_unavailable", error=str(error), request_id=g.request_id)
    g.viewer = None
    return page("error.html", 503, code="store_unavailable")


@dashboard.errorhandler(HTTPException)
def http(error: HTTPException) -> Response:
    return page("error.html", error.code or 500, code=f"http_{error.code}")


@dashboard.errorhandler(Exception)
def unexpected(error: Exception) -> Response:
    # The message of a database error quotes values; only its type and place are logged.
    log.error(
        "unexpected", error_type=type(error).__name__, where=telemetry.where(error), request_id=g.request_id
    )
    g.viewer = None
    return page("error.html", 500, code="internal")


@dashboard.get("/<path:rest>")
def no_such_page(rest: str) -> Response:
    """An address that no page has."""
    del rest
    g.viewer = viewer_of(services_of_app())
    return page("error.html", 404, code="not_found")


@dashboard.app_template_global("next_cursor")
def next_cursor(found: Page[Any]) -> str:
    """Return what stands for a list's next page in an address, for whoever looks."""
    viewer: Viewer = g.viewer
    return viewer.names.cursor(found.next_cursor or "")


@dashboard.app_template_global("asset")
def asset(name: str) -> str:
    return f"/dashboard/assets/{name}"


for _name, _filter in FILTERS.items():
    dashboard.add_app_template_filter(_filter, _name)
