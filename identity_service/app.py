"""The web application: wiring, the frame around each request, and the translation of every error."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any, Final

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

import identity_service.api.resources  # noqa: F401 - declares the operations
from identity_service import dashboard, telemetry
from identity_service.api import operation, problems, strict_json
from identity_service.api.meta import meta
from identity_service.config import Settings, load_settings
from identity_service.container import Container, build
from identity_service.db.store import prepare_engine
from identity_service.db.tables import database
from identity_service.errors import Refused, Unavailable
from identity_service.pages import pages
from identity_service.pages.hosted import hosted
from identity_service.policy.rules import Policy
from identity_service.ports import Clock, Entropy
from identity_service.proxies import TrustedProxies

log = structlog.get_logger("web")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_CODES_OF_STATUS: Final = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "content_type_unsupported",
}
_SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


def create_app(
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    policy: Policy | None = None,
) -> Flask:
    """Make the application.

    Raises:
        Misconfigured: the settings, the keyring or the policy are unusable; says which.
    """
    settings = settings or load_settings()
    telemetry.configure_logging(settings.log_level)
    app = Flask(__name__)
    app.config.update(
        SQLALCHEMY_DATABASE_URI=settings.store_url,
        SQLALCHEMY_ENGINE_OPTIONS=_engine_options(settings),
        MAX_CONTENT_LENGTH=strict_json.MAX_BYTES
        + 1,  # one more, so that the API itself sees what is too much
        DEBUG=settings.debug,
    )
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False  # an address is right or it is not; nothing is redirected
    database.init_app(app)
    with app.app_context():
        prepare_engine(database.engine, synchronous=settings.sqlite_synchronous)
        services = build(settings, database.engine, clock=clock, entropy=entropy, policy=policy)
    app.extensions[operation.EXTENSION] = services
    operation.install(app, services)
    app.register_blueprint(meta)
    app.register_blueprint(pages)
    if settings.hosts_join:
        app.register_blueprint(hosted)
    dashboard.install(app, services)
    _frame(app, services)
    app.wsgi_app = TrustedProxies(app.wsgi_app, settings.proxies)  # type: ignore[method-assign]
    return app


def services_of(app: Flask) -> Container:
    container: Container = app.extensions[operation.EXTENSION]
    return container


def _engine_options(settings: Settings) -> dict[str, Any]:
    if settings.is_sqlite:
        return {"connect_args": {"timeout": 15, "check_same_thread": False}}
    # Four threads a process, and one connection more for the health check.
    return {
        "pool_size": 5,
        "max_overflow": 5,
        "pool_timeout": 10,
        "pool_pre_ping": False,
        "pool_recycle": 1800,
    }


# -- the frame around each request ---------------------------------------------------------------------------


def _frame(app: Flask, services: Container) -> None:
    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        g.started = time.perf_counter()

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        for name, value in _SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        _measure(response)
        return response

    @app.errorhandler(Refused)
    def refused(error: Refused) -> Response:
        telemetry.REFUSALS.labels(error.code).inc()
        status, headers, body = problems.of_refusal(error, g.request_id, services.clock.now())
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return Response(body, status=status, headers=headers)

    @app.errorhandler(Unavailable)
    def unavailable(error: Unavailable) -> Response:
        log.error("store_unavailable", error=str(error), request_id=g.request_id)
        response = _problem("store_unavailable", "Nothing was done; try again shortly.")
        response.headers["Retry-After"] = "1"
        return response

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        code = _CODES_OF_STATUS.get(
            error.code or 500, "bad_request" if (error.code or 500) < 500 else "internal"
        )
        response = _problem(code, problems.KINDS[code].title + ".")
        if error.code == 405 and (allowed := getattr(error, "valid_methods", None)):
            response.headers["Allow"] = ", ".join(sorted(allowed))
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        # The message of a database error quotes values; only its type and place are logged.
        log.error(
            "unexpected",
            error_type=type(error).__name__,
            where=telemetry.where(error),
            request_id=g.request_id,
        )
        return _problem("internal", "It was logged under this request id; nothing was changed.")


def _problem(code: str, detail: str) -> Response:
    status, body = problems.problem(code, detail, g.request_id)
    return Response(body, status=status, content_type=problems.CONTENT_TYPE)


def _measure(response: Response) -> None:
    route = request.url_rule.rule if request.url_rule is not None else "(none)"
    seconds = time.perf_counter() - g.started
    telemetry.REQUESTS.labels(request.method, route, str(response.status_code)).inc()
    telemetry.SECONDS.labels(request.method, route).observe(seconds)
    log.info(
        "request",
        method=request.method,
        route=route,
        status=response.status_code,
        ms=round(seconds * 1000, 2),
        request_id=g.request_id,
        client=g.get("client"),
    )
