"""The OpenAPI 3.1 description, made from the declared operations and their pydantic models.

pydantic writes the schemas (JSON Schema 2020-12, which OpenAPI 3.1 is); this module only puts operations
around them.  The exported `openapi.yaml` is compared with the code by a test.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any, Final

import yaml
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from identity_service import __version__
from identity_service.api.operation import OPERATIONS, Operation, phrase
from identity_service.api.problems import CONTENT_TYPE, KINDS
from identity_service.api.schemas import ProblemOut
from identity_service.services.clients import Scope

_REF: Final = "#/components/schemas/{model}"
_BY_ALL: Final = ("unauthenticated", "scope_missing", "internal", "store_unavailable", "header_invalid")
_BY_BODIES: Final = (
    "json_malformed",
    "json_duplicate_key",
    "json_not_a_number",
    "json_nul",
    "json_too_deep",
    "body_too_large",
    "content_type_unsupported",
    "validation_failed",
)
_BY_WRITES: Final = ("idempotency_key_reused", "idempotency_in_flight", "bad_request", "body_too_large")
_BY_QUERIES: Final = ("query_parameter_unknown", "query_parameter_invalid")
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
    "Idempotency-Replayed": {
        "description": "`true`: this is the stored first answer.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}


@functools.cache
def document() -> dict[str, Any]:
    """Return the whole description."""
    import identity_service.api.resources  # noqa: F401 - declares the operations

    schemas = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for declared in OPERATIONS.values():
        paths.setdefault(declared.path, {})[declared.method.lower()] = _operation(declared)
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
        "security": [{"apiKey": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(op.tag for op in OPERATIONS.values())],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key. Scopes: " + ", ".join(f"`{scope}`" for scope in Scope) + ".",
                }
            },
            "headers": _HEADERS,
            "parameters": {
                "IdempotencyKey": {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "required": False,
                    "description": "The same key and body within 24 h: the first answer again.",
                    "schema": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": 255,
                        "pattern": "^[!-~][ -~]*$",
                    },
                },
                "RequestId": {
                    "name": "X-Request-Id",
                    "in": "header",
                    "required": False,
                    "description": "Echoed; another is made where this one is missing or malformed.",
                    "schema": {"type": "string"},
                },
            },
            "schemas": schemas,
        },
    }


_DESCRIPTION: Final = (
    "Every error is an RFC 9457 problem document with a stable `code`. Times are UTC, phones go in as E.164 and "
    "come out masked, ids are opaque and sort by creation. Every POST takes an `Idempotency-Key`."
)


def document_yaml() -> str:
    return yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=110)


def _models() -> Iterable[type[BaseModel]]:
    yield ProblemOut
    for declared in OPERATIONS.values():
        yield from declared.answers.values()
        if declared.body is not None:
            yield declared.body


def _schemas() -> dict[str, Any]:
    inputs = {op.body for op in OPERATIONS.values() if op.body is not None}
    pairs = [
        (model, "validation" if model in inputs else "serialization") for model in dict.fromkeys(_models())
    ]
    _, definitions = models_json_schema(pairs, ref_template=_REF)  # type: ignore[arg-type]
    return dict(sorted(definitions["$defs"].items()))


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _operation(declared: Operation) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "operationId": declared.name,
        "tags": [declared.tag],
        "summary": declared.summary,
        "description": f"{declared.description}\n\nScope: `{declared.scope}`.".strip(),
        "parameters": _parameters(declared),
        "responses": _responses(declared),
    }
    if declared.body is not None:
        media: dict[str, Any] = {"schema": _ref(declared.body)}
        if declared.example is not None:
            media["example"] = dict(declared.example)
        shown["requestBody"] = {
            "required": not declared.body_optional,
            "content": {"application/json": media},
        }
    return shown


def _parameters(declared: Operation) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1, "maxLength": 40},
        }
        for name in re.findall(r"{(\w+)}", declared.path)
    ]
    if declared.query is not None:
        schema = declared.query.model_json_schema()
        for name, one in schema["properties"].items():
            one.pop("title", None)
            description = one.pop("description", None)
            parameter = {"name": name, "in": "query", "required": False, "schema": _without_null(one)}
            if description:
                parameter["description"] = description
            shown.append(parameter)
    shown.append({"$ref": "#/components/parameters/RequestId"})
    if declared.writes:
        shown.append({"$ref": "#/components/parameters/IdempotencyKey"})
    return shown


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter that is not given is absent, never `null`."""
    choices = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    if len(choices) == 1:
        rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
        return choices[0] | rest
    return schema


def codes_of(declared: Operation) -> list[str]:
    """Return every stable code that an operation may answer with."""
    codes = [*_BY_ALL, *declared.refusals]
    if declared.body is not None:
        codes += _BY_BODIES
    if declared.writes:
        codes += _BY_WRITES
    codes += _BY_QUERIES if declared.query is not None else ("query_parameter_unknown",)
    if "{" in declared.path:
        codes.append("not_found")
    if declared.path.endswith("/lookup") and declared.tag == "Members":
        codes.append("not_found")
    return sorted(set(codes), key=lambda code: (KINDS[code].status, code))


def _responses(declared: Operation) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    request_id = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    for status, model in declared.answers.items():
        headers: dict[str, Any] = dict(request_id)
        if declared.writes:
            headers["Idempotency-Replayed"] = {"$ref": "#/components/headers/Idempotency-Replayed"}
        answer: dict[str, Any] = {
            "description": phrase(status),
            "headers": headers,
            "content": {"application/json": {"schema": _ref(model)}},
        }
        if declared.links and status == next(iter(declared.answers)):
            answer["links"] = {
                name: {"operationId": target, "parameters": dict(parameters)}
                for name, (target, parameters) in declared.links.items()
            }
        shown[str(status)] = answer
    by_status: dict[int, list[str]] = {}
    for code in codes_of(declared):
        by_status.setdefault(KINDS[code].status, []).append(code)
    for status, codes in sorted(by_status.items()):
        headers = dict(request_id)
        if status in (409, 429, 503):
            headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
        if status == 429:
            headers |= {
                name: {"$ref": f"#/components/headers/{name}"} for name in ("RateLimit", "RateLimit-Policy")
            }
        shown[str(status)] = {
            "description": f"{phrase(status)}: " + ", ".join(f"`{code}`" for code in codes),
            "headers": headers,
            "content": {CONTENT_TYPE: {"schema": _ref(ProblemOut)}},
        }
    return shown
