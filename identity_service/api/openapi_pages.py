"""What the service answers outside `/v1`, described: health, metrics, keys, callbacks and pages.

These are not declared operations: they need no API key and no transaction frame, and some are not JSON.
"""

from __future__ import annotations

from typing import Any, Final

from identity_service.api.openapi_schemas import REF
from identity_service.api.problems import CONTENT_TYPE, KINDS

OPERATING: Final = "Operating"
PEOPLE: Final = "Pages for people"
_TEXT: Final = {"type": "string"}


def _answer(
    description: str, content_type: str = "", schema: dict[str, Any] | None = None, example: Any = None
) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": description,
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}},
    }
    if content_type:
        media: dict[str, Any] = {"schema": schema or {}}
        if example is not None:
            media["example"] = example
        answer["content"] = {content_type: media}
    return answer


def _refused(*codes: str) -> dict[str, Any]:
    return _answer(
        ", ".join(f"`{code}`: {KINDS[code].title}" for code in codes),
        CONTENT_TYPE,
        {"$ref": f"{REF}Problem"},
    )


def _open(
    name: str, tag: str, summary: str, description: str, answers: dict[str, Any], **more: Any
) -> dict[str, Any]:
    """An operation that asks for no key."""
    return {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "description": description,
        "security": [],
        **more,
        "responses": answers | {"500": {"$ref": "#/components/responses/internal"}},
    }


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


_CODE: Final = {
    "name": "code",
    "in": "path",
    "required": True,
    "description": "An invite code, as it stands in the link.",
    "schema": {"type": "string", "minLength": 1},
}
_INBOX_MESSAGE: Final = _object(
    to=_TEXT, body=_TEXT, channel=_TEXT, sent_at={"type": "string", "format": "date-time"}
)

PATHS: Final[dict[str, dict[str, Any]]] = {
    "/healthz": {
        "get": _open(
            "healthz",
            OPERATING,
            "Whether the process answers",
            "Asks nothing of the store: a restart would not help a store that is down.",
            {
                "200": _answer(
                    "It does", "application/json", _object(status={"const": "ok"}), {"status": "ok"}
                )
            },
        )
    },
    "/readyz": {
        "get": _open(
            "readyz",
            OPERATING,
            "Whether the service can do its work",
            "The store answers and is migrated. Also tells how long ago a worker was seen.",
            {
                "200": _answer(
                    "It can",
                    "application/json",
                    _object(
                        status={"const": "ok"},
                        worker_seen_seconds_ago={"type": ["integer", "null"], "minimum": 0},
                    ),
                    {"status": "ok", "worker_seen_seconds_ago": 2},
                ),
                "503": _answer(
                    "The store cannot be reached",
                    "application/json",
                    _object(status=_TEXT),
                    {"status": "store_unavailable"},
                ),
            },
        )
    },
    "/metrics": {
        "get": _open(
            "metrics",
            OPERATING,
            "Metrics for Prometheus",
            "By route template; no code, token or phone stands in a label.",
            {"200": _answer("The text exposition", "text/plain", _TEXT)},
        )
    },
    "/openapi.yaml": {
        "get": _open(
            "openapi",
            OPERATING,
            "This description",
            "OpenAPI 3.1, made from the code that answers.",
            {"200": _answer("The description", "application/yaml")},
        )
    },
    "/docs": {
        "get": _open(
            "docs",
            PEOPLE,
            "This description, to read",
            "Every call with a ready `curl`, and every stable error code. Needs no JavaScript.",
            {"200": _answer("The page", "text/html", _TEXT), "304": _answer("Unchanged")},
        )
    },
    "/.well-known/jwks.json": {
        "get": _open(
            "jwks",
            OPERATING,
            "The keys that sign assertions",
            "A JSON Web Key Set (RFC 7517), to check assertions offline. Fetch it again at an unknown `kid`.",
            {
                "200": _answer(
                    "The public keys",
                    "application/jwk-set+json",
                    _object(keys={"type": "array", "items": {"type": "object"}}),
                )
            },
        )
    },
    "/callbacks/{provider}/status": {
        "post": _open(
            "provider_status",
            OPERATING,
            "A provider's report on a message",
            "Believed only with the provider's own signature: a form or JSON for `vonage`, signed JSON for "
            "`webhook`. Repeated and late reports change nothing.",
            {
                "204": _answer("Taken in"),
                "400": _refused("receipt_malformed"),
                "403": _refused("receipt_forged"),
                "404": _refused("not_found", "receipt_unsupported"),
                "503": {"$ref": "#/components/responses/store_unavailable"},
            },
            parameters=[
                {
                    "name": "provider",
                    "in": "path",
                    "required": True,
                    "description": "A provider that a route names.",
                    "schema": _TEXT,
                    "example": "webhook",
                },
                {
                    "name": "attempt",
                    "in": "query",
                    "required": False,
                    "description": "The sending that the report is about.",
                    "schema": _TEXT,
                },
            ],
            requestBody={
                "required": False,
                "content": {
                    "application/json": {
                        "schema": {"type": "object"},
                        "example": {"id": "own-1", "state": "delivered"},
                    }
                },
            },
        )
    },
    "/callbacks/twilio/status": {
        "post": _open(
            "twilio_status",
            OPERATING,
            "Twilio's report on a message",
            "Believed only with Twilio's signature over the configured public URL. Repeated and late reports "
            "change nothing.",
            {
                "204": _answer("Taken in"),
                "400": _refused("receipt_malformed"),
                "403": _refused("receipt_forged"),
                "404": _refused("not_found"),
                "503": {"$ref": "#/components/responses/store_unavailable"},
            },
            parameters=[
                {
                    "name": "attempt",
                    "in": "query",
                    "required": False,
                    "description": "The sending that the report is about.",
                    "schema": _TEXT,
                },
                {
                    "name": "X-Twilio-Signature",
                    "in": "header",
                    "required": False,
                    "schema": _TEXT,
                },
            ],
            requestBody={
                "required": False,
                "content": {
                    "application/x-www-form-urlencoded": {
                        "schema": {
                            "type": "object",
                            "properties": {"MessageSid": _TEXT, "MessageStatus": _TEXT, "ErrorCode": _TEXT},
                        },
                        "example": {
                            "MessageSid": "SM00000000000000000000000000000000",
                            "MessageStatus": "delivered",
                        },
                    }
                },
            },
        )
    },
    "/i/{code}": {
        "get": _open(
            "join_page",
            PEOPLE,
            "The page that an invite's link opens",
            "Has no effect, because previews and scanners open links too, and looks the same for every code. "
            "Where the join page is hosted here, its forms lead on to a member.",
            {"200": _answer("The page", "text/html", _TEXT)},
            parameters=[_CODE],
        )
    },
    "/i/{code}/opened": {
        "post": _open(
            "note_opened",
            PEOPLE,
            "The page was seen",
            "What the page itself tells, once, when a person sees it. The same answer for every code.",
            {"204": _answer("Always")},
            parameters=[_CODE],
        )
    },
    "/dev/inbox": {
        "get": _open(
            "dev_inbox",
            OPERATING,
            "What the development inbox received",
            "Only where the `inbox` provider is on, and never in production. Newest first.",
            {
                "200": _answer(
                    "The messages",
                    "application/json",
                    _object(data={"type": "array", "items": _INBOX_MESSAGE}),
                ),
                "400": _refused("query_parameter_unknown", "query_parameter_invalid"),
                "404": _refused("not_found"),
            },
            parameters=[
                {
                    "name": "to",
                    "in": "query",
                    "required": False,
                    "description": "Only what this phone received.",
                    "schema": _TEXT,
                },
                {
                    "name": "limit",
                    "in": "query",
                    "required": False,
                    "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
                },
            ],
        )
    },
}
