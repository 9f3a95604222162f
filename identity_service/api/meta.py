"""What is not a resource: health, metrics, keys, description, callbacks, the development inbox."""

from __future__ import annotations

import json
from typing import Final

from flask import Blueprint, Response, request

from identity_service import telemetry
from identity_service.api.openapi import document_yaml
from identity_service.api.operation import services_of_app
from identity_service.errors import SYSTEM, Refused, Unavailable, not_found
from identity_service.ports import SECOND
from sms.providers.base import Callback, Provider, ReceiptRefused
from sms.providers.inbox import Inbox

meta: Final = Blueprint("meta", __name__)
_JSON: Final = "application/json"


@meta.get("/healthz")
def healthz() -> Response:
    """The process answers."""
    return Response('{"status":"ok"}', mimetype=_JSON)


@meta.get("/readyz")
def readyz() -> Response:
    """The store answers and is migrated; tells how long ago the worker was seen."""
    services = services_of_app()
    try:
        beat = services.store.query(SYSTEM, services.worker_state.last_beat)
    except Unavailable:
        return Response('{"status":"store_unavailable"}', status=503, mimetype=_JSON)
    seconds = None if beat is None else max(0, services.clock.now() - beat) // SECOND
    body = {"status": "ok", "worker_seen_seconds_ago": seconds}
    return Response(json.dumps(body), mimetype=_JSON)


@meta.get("/metrics")
def metrics() -> Response:
    return Response(telemetry.exposition(), mimetype="text/plain; version=0.0.4")


@meta.get("/openapi.yaml")
def openapi() -> Response:
    return Response(document_yaml(), mimetype="application/yaml")


@meta.get("/.well-known/jwks.json")
def jwks() -> Response:
    answer = Response(json.dumps(services_of_app().assertions.jwks()), mimetype="application/jwk-set+json")
    answer.headers["Cache-Control"] = "public, max-age=300"
    return answer


@meta.post("/callbacks/twilio/status")
def twilio_status() -> Response:
    """Twilio's report on a message, believed only with its signature on the configured public URL."""
    return _take_report("twilio")


@meta.post("/callbacks/<provider>/status")
def provider_status(provider: str) -> Response:
    """Another provider's report, believed only with that provider's signature."""
    return _take_report(provider)


def _take_report(name: str) -> Response:
    services = services_of_app()
    provider: Provider | None = services.providers.get(name)
    if provider is None:
        raise not_found("provider")
    query = f"?{request.query_string.decode('ascii', 'replace')}" if request.query_string else ""
    called = f"{services.settings.public_url.rstrip('/')}{request.path}{query}"
    body = request.get_data(cache=True)
    try:
        receipt = provider.parse_receipt(
            Callback(
                public_url=called, params=request.form.to_dict(), headers=dict(request.headers), body=body
            )
        )
    except ReceiptRefused as refused:
        raise Refused(refused.code.value, refused.detail) from None
    attempt = request.args.get("attempt", "")
    services.store.transact(SYSTEM, lambda tx: services.receipts.receive(tx, attempt, receipt))
    return Response(status=204)


@meta.get("/dev/inbox")
def inbox() -> Response:
    """What the development provider received.  Not there where another provider is on, nor in production."""
    services = services_of_app()
    provider = services.providers.get("inbox")
    if services.settings.production or not isinstance(provider, Inbox):
        raise not_found("page")
    unknown = set(request.args) - {"to", "limit"}
    if unknown:
        raise Refused("query_parameter_unknown", "`to` and `limit` are known here.")
    limit = request.args.get("limit", "100")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 4 and 1 <= int(limit) <= 1000):
        raise Refused("query_parameter_invalid", "limit is 1 to 1000.")
    to = request.args.get("to")
    if to is not None:
        to = "+" + to.strip().lstrip("+")  # an unescaped + in a query is a blank
    found = provider.messages(to=to, limit=int(limit))
    return Response(json.dumps({"data": found}), mimetype=_JSON)
