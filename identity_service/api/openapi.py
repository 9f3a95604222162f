"""The OpenAPI 3.1 description, made from the declared operations and their pydantic models.

pydantic writes the schemas (JSON Schema 2020-12, which OpenAPI 3.1 is); this module only puts operations
around them.  The exported `openapi.yaml` is compared with the code by a test.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml
from pydantic import BaseModel

from graph.growth.catalog import REPORTS
from identity_service import __version__
from identity_service.api import examples
from identity_service.api.openapi_pages import OPERATING, PATHS, PEOPLE
from identity_service.api.openapi_schemas import query_parameters, ref, schemas
from identity_service.api.operation import OPERATIONS, Operation, phrase
from identity_service.api.problems import CONTENT_TYPE, KINDS
from identity_service.api.schemas import ProblemOut
from identity_service.services.clients import Scope

_BY_ALL: Final = ("unauthenticated", "scope_missing", "body_too_large", "internal", "store_unavailable")
_BY_BODIES: Final = (
    "json_malformed",
    "json_duplicate_key",
    "json_not_a_number",
    "json_nul",
    "json_too_deep",
    "content_type_unsupported",
    "validation_failed",
)
_BY_WRITES: Final = ("header_invalid", "idempotency_key_reused", "idempotency_in_flight", "bad_request")
_BY_QUERIES: Final = ("query_parameter_unknown", "query_parameter_invalid")
TAGS: Final[Mapping[str, str]] = {  # in the order in which they are read
    "Invites": "Given by members, who spend quota, or by campaigns; as a link, or by SMS to one phone.",
    "Verifications": "That a phone is somebody's, proved by a one-time code. What comes out is a proof, "
    "good for one use and one purpose.",
    "Messages": "What became of each message, and what to do when one did not come.",
    "Registration and login": "A proof becomes a member, or lets one in. Both answer with an assertion that "
    "other services check offline.",
    "Recovery": "For members who were away so long that a code alone does not let them in.",
    "Members": "What can be known about a member, and what other services tell about one.",
    "Tree": "Who let whom in. A member's place never changes.",
    "Quota": "How many invites a member may still give: an append-only ledger and its sum.",
    "Policy": "The rules by which members may invite, and those that are announced.",
    "Reports": "What invitations bring: eight reports, each explained, for growth teams.",
    "Sanctions": "Measures against one member, each with a reason and an explanation that the member sees.",
    "Guard": "Whom the pumping guard blocks and why; for administrators.",
    "Events": "What happened, in order and without gaps, for services that follow.",
    OPERATING: "For those who run the service. None of these asks for an API key.",
    PEOPLE: "What people open in a browser.",
}
_IDS: Final[Mapping[str, tuple[str, str]]] = {
    "invite_id": ("inv", "inv_01k0te9q6bxv2m4d8s1c7hwj0kyp"),
    "verification_id": ("ver", "ver_01k0tf2w3h8r5ydm0q9x7c6bz4jk"),
    "recovery_id": ("rec", "rec_01k0tg7n2c5v8x1m4q6w9y3b0dhk"),
    "member_id": ("mem", "mem_01k0tf55mn9s0j7qdpmwvwrxj2a3"),
    "decision_id": ("gdn", "gdn_01k0tm4c2p6r8t0w2y4a6c8e0g2j"),
    "message_id": ("msg", "msg_01k0te9q6c4m8w2x5z7b9d1f3h5j"),
    "sanction_id": ("san", "san_01k0th4m6p8s0v2x4z6b8d0f2h4k"),
}
_NAMES: Final[Mapping[str, list[str]]] = {"report": list(REPORTS)}
_HEADERS: Final[dict[str, Any]] = {
    "X-Request-Id": {
        "description": "The request's id, as it was sent or as it was made.",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds until the same call may succeed.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "RateLimit": {"description": "The budget that is spent.", "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": "Its limits.", "schema": {"type": "string"}},
    "ETag": {"description": "Names this very answer, for `If-None-Match`.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "`true`: this is the stored first answer.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
_PARAMETERS: Final[dict[str, Any]] = {
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "The `ETag` of an earlier answer: 304 if it would be the same.",
        "schema": {"type": "string"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "The same key and body within 24 h: the first answer again.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~][ -~]*$"},
    },
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "required": False,
        "description": "Echoed; another is made where this one is missing or malformed.",
        "schema": {"type": "string"},
    },
}
_SHARED_REFUSALS: Final = ("unauthenticated", "internal", "store_unavailable")
"""Refusals that are the only ones of their status wherever they stand: described once."""
_DESCRIPTION: Final = """\
Invites, the invite tree, and verified phones.

Every error is an RFC 9457 problem document with a stable `code`. Times are UTC, phones go in as E.164 and \
come out masked, ids are opaque and sort by creation.

Every POST takes an `Idempotency-Key`: the same key and body within 24 hours answer as the first call did, \
with `Idempotency-Replayed: true`. Lists are pages: pass `next_cursor` on as `cursor` until `has_more` is \
false. Unknown fields and unknown query parameters are refused."""


@functools.cache
def document() -> dict[str, Any]:
    """Return the whole description.  It is shared: read it, do not change it."""
    import identity_service.api.resources  # noqa: F401 - declares the operations

    paths: dict[str, dict[str, Any]] = {}
    in_order = list(TAGS)
    for declared in sorted(OPERATIONS.values(), key=lambda op: in_order.index(op.tag)):
        paths.setdefault(declared.path, {})[declared.method.lower()] = _operation(declared)
    used = {op.tag for op in OPERATIONS.values()} | {OPERATING, PEOPLE}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Identity service",
            "version": __version__,
            "summary": "Invites, the invite tree, and verified phones.",
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "Where this description is served"}],
        "tags": [{"name": tag, "description": text} for tag, text in TAGS.items() if tag in used],
        "paths": paths | PATHS,
        "components": {
            "securitySchemes": {
                "apiKey": {"type": "http", "scheme": "bearer", "description": _scopes_in_words()}
            },
            "headers": _HEADERS,
            "parameters": _PARAMETERS,
            "responses": {code: _refusal([code]) for code in _SHARED_REFUSALS},
            "examples": {
                code: {"summary": KINDS[code].title, "value": examples.of_problem(code)} for code in KINDS
            },
            "schemas": schemas(_models()),
        },
    }


class _Dumper(yaml.SafeDumper):
    """Writes what stands twice twice: an alias in a description confuses its readers."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


@functools.cache
def document_yaml() -> str:
    return yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def scopes() -> dict[Scope, list[str]]:
    """Return the scopes that some operation asks for, each with the names of its operations."""
    used: dict[Scope, list[str]] = {scope: [] for scope in Scope}
    for declared in OPERATIONS.values():
        used[declared.scope].append(declared.name)
    return {scope: names for scope, names in used.items() if names or scope is Scope.ADMIN}


def _scopes_in_words() -> str:
    lines = ["An API key: `Authorization: Bearer KEY`. Each operation names the scope that it needs.", ""]
    for scope, names in scopes().items():
        lines.append(f"- `{scope}`: " + (", ".join(names) or "all of them, and invites of campaigns"))
    return "\n".join(lines)


def _models() -> Iterable[type[BaseModel]]:
    yield ProblemOut
    for declared in OPERATIONS.values():
        yield from declared.answers.values()
        if declared.body is not None:
            yield declared.body


def _operation(declared: Operation) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "operationId": declared.name,
        "tags": [declared.tag],
        "summary": declared.summary,
        "description": declared.description,
        # In 3.1 any scheme may list what it asks for, not OAuth's alone.
        "security": [{"apiKey": [declared.scope.value]}],
        "parameters": _parameters(declared),
    }
    if declared.body is not None:
        media: dict[str, Any] = {"schema": ref(declared.body)}
        if declared.example is not None:
            media["example"] = dict(declared.example)
        shown["requestBody"] = {
            "required": not declared.body_optional,
            "content": {"application/json": media},
        }
    return shown | {"responses": _answers(declared) | _refusals(declared)}


def _parameters(declared: Operation) -> list[dict[str, Any]]:
    shown = [_id_parameter(name) for name in re.findall(r"{(\w+)}", declared.path)]
    if declared.query is not None:
        shown += query_parameters(declared.query)
    shown.append({"$ref": "#/components/parameters/RequestId"})
    if declared.as_text:
        shown.append({"$ref": "#/components/parameters/IfNoneMatch"})
    if declared.writes:
        shown.append({"$ref": "#/components/parameters/IdempotencyKey"})
    return shown


def _id_parameter(name: str) -> dict[str, Any]:
    if name in _NAMES:
        named = {"type": "string", "enum": _NAMES[name]}
        return {"name": name, "in": "path", "required": True, "schema": named, "example": _NAMES[name][0]}
    prefix, example = _IDS[name]
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "maxLength": 40, "pattern": f"^{prefix}_[0-9a-z]+$"},
        "example": example,
    }


def codes_of(declared: Operation) -> list[str]:
    """Return every stable code that an operation may answer with."""
    codes = [*_BY_ALL, *declared.refusals]
    if declared.body is not None:
        codes += _BY_BODIES
    if declared.writes:
        codes += _BY_WRITES
    codes += _BY_QUERIES if declared.query is not None else ("query_parameter_unknown",)
    if "{" in declared.path or (declared.path.endswith("/lookup") and declared.tag == "Members"):
        codes.append("not_found")
    return sorted(set(codes), key=lambda code: (KINDS[code].status, code))


def _answers(declared: Operation) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for status, model in declared.answers.items():
        headers: dict[str, Any] = _header_refs("X-Request-Id")
        if declared.writes:
            headers |= _header_refs("Idempotency-Replayed")
        answer: dict[str, Any] = {
            "description": phrase(status),
            "headers": headers,
            "content": {
                "application/json": {
                    "schema": ref(model),
                    "example": dict(examples.of_answer(declared.name, status, model)),
                }
            },
        }
        if declared.as_text and status == next(iter(declared.answers)):
            answer["headers"] = answer["headers"] | _header_refs("ETag")
            answer["content"] |= {
                media: {"schema": {"type": "string"}, "example": example}
                for media, example in declared.as_text.items()
            }
            shown["304"] = {"description": phrase(304), "headers": _header_refs("X-Request-Id", "ETag")}
        if status == 202 and not declared.writes:
            answer["headers"] = answer["headers"] | _header_refs("Retry-After")
        if declared.links and status == next(iter(declared.answers)):
            answer["links"] = {
                name: {"operationId": target, "parameters": dict(parameters)}
                for name, (target, parameters) in declared.links.items()
            }
        shown[str(status)] = answer
    return shown


def _refusals(declared: Operation) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in codes_of(declared):
        by_status.setdefault(KINDS[code].status, []).append(code)
    return {
        str(status): {"$ref": f"#/components/responses/{codes[0]}"}
        if len(codes) == 1 and codes[0] in _SHARED_REFUSALS
        else _refusal(codes)
        for status, codes in sorted(by_status.items())
    }


def _refusal(codes: list[str]) -> dict[str, Any]:
    """Return the answer of one status for one or more codes."""
    status = KINDS[codes[0]].status
    headers = _header_refs("X-Request-Id")
    if status == 401:
        headers |= _header_refs("WWW-Authenticate")
    if status in (409, 429, 503):
        headers |= _header_refs("Retry-After")
    if status == 429:
        headers |= _header_refs("RateLimit", "RateLimit-Policy")
    return {
        "description": f"{phrase(status)}: " + ", ".join(f"`{code}`" for code in codes),
        "headers": headers,
        "content": {
            CONTENT_TYPE: {
                "schema": ref(ProblemOut),
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
            }
        },
    }


def _header_refs(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
