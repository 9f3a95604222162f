"""The docs page's contents: the OpenAPI document, put into the order and the words in which it is read.

Everything comes from `api.openapi.document()` and the table of codes; nothing is said here that the
description does not say.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup, escape

from identity_service.api.openapi import codes_of, document, scopes
from identity_service.api.openapi_schemas import REF
from identity_service.api.operation import OPERATIONS
from identity_service.api.problems import KINDS

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_WORTH_LISTING: Final = 8
"""A code of more operations than this says nothing about any of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One row of a table of fields or parameters."""

    name: str
    type: Markup
    required: bool
    about: Markup
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: str
    phrase: str
    model: str
    example: str
    codes: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One operation as the page shows it."""

    name: str
    method: str
    path: str
    summary: str
    about: Markup
    scope: str
    parameters: tuple[Field, ...]
    body: str
    fields: tuple[Field, ...]
    curl: str
    answers: tuple[Answer, ...]
    refusals: tuple[Answer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    name: str
    about: Markup
    calls: tuple[Call, ...]

    @property
    def anchor(self) -> str:
        return "tag-" + self.name.lower().replace(" ", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One stable error code.  `calls` is empty where many operations may answer with it."""

    code: str
    status: int
    title: str
    meaning: Markup
    calls: tuple[str, ...]


def view(public_url: str) -> dict[str, Any]:
    """Return what the template shows."""
    described = document()
    return {
        "info": described["info"],
        "about": prose(described["info"]["description"]),
        "public_url": public_url,
        "sections": tuple(_sections(described, public_url)),
        "scopes": [(scope.value, tuple(names)) for scope, names in scopes().items()],
        "codes": tuple(_codes()),
        "shapes": tuple(_shapes(described)),
    }


def prose(text: str) -> Markup:
    """Return a description as HTML: paragraphs, and `code` between backticks; all else is escaped."""
    return Markup("").join(Markup("<p>{}</p>").format(inline(part)) for part in text.split("\n\n") if part)


def inline(text: str) -> Markup:
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if odd else escape(part)
        for part, odd in zip(parts, (n % 2 for n in range(len(parts))), strict=True)
    )


# -- operations ------------------------------------------------------------------------------------------


def _sections(described: Mapping[str, Any], public_url: str) -> Iterator[Section]:
    for tag in described["tags"]:
        calls = [
            _call(described, path, method, item[method], public_url)
            for path, item in described["paths"].items()
            for method in _METHODS
            if method in item and tag["name"] in item[method]["tags"]
        ]
        yield Section(name=tag["name"], about=inline(tag["description"]), calls=tuple(calls))


def _call(
    described: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any], public_url: str
) -> Call:
    parameters = [_resolve(described, one) for one in operation.get("parameters", ())]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    security = operation["security"]
    answers = [_answer(status, _resolve(described, one)) for status, one in operation["responses"].items()]
    return Call(
        name=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        about=prose(operation["description"]),
        scope=security[0]["apiKey"][0] if security else "",
        parameters=tuple(_parameter(one) for one in parameters),
        body=content.get("schema", {}).get("$ref", "").removeprefix(REF),
        fields=tuple(_fields(_resolve(described, content["schema"]))) if content else (),
        curl=_curl(public_url + path, method.upper(), operation, parameters),
        answers=tuple(one for one in answers if one.status < "400"),
        refusals=tuple(one for one in answers if one.status >= "400"),
    )


def _resolve(described: Mapping[str, Any], one: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in one:
        return one
    found: Any = described
    for part in one["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found  # type: ignore[no-any-return]


def _parameter(one: Mapping[str, Any]) -> Field:
    return Field(
        name=one["name"],
        where=one["in"],
        type=type_of(one["schema"]),
        required=one.get("required", False),
        about=inline(one.get("description", "")),
    )


def _answer(status: str, answer: Mapping[str, Any]) -> Answer:
    media: Mapping[str, Any] = next(iter(answer.get("content", {}).values()), {})
    phrase, _, listed = answer["description"].partition(": `")
    example = media.get("example")
    return Answer(
        status=status,
        phrase=phrase if listed else answer["description"],
        model=media.get("schema", {}).get("$ref", "").removeprefix(REF),
        example="" if example is None else json.dumps(example, indent=2, ensure_ascii=False),
        codes=tuple(media.get("examples", ())),
        links=tuple((name, link["operationId"]) for name, link in answer.get("links", {}).items()),
    )


def _curl(url: str, method: str, operation: Mapping[str, Any], parameters: list[Mapping[str, Any]]) -> str:
    """Return a command that works in a shell as it stands, once IDENTITY_KEY is set."""
    for one in parameters:
        if one["in"] == "path":
            url = url.replace(f"{{{one['name']}}}", str(one.get("example", "7KQ4M-2XD9P-TA3HK")))
    lines = [f"curl {shlex.quote(url)}" if method == "GET" else f"curl -X {method} {shlex.quote(url)}"]
    if operation["security"]:
        lines.append('-H "Authorization: Bearer $IDENTITY_KEY"')
    for content_type, media in operation.get("requestBody", {}).get("content", {}).items():
        example = media["example"]
        if content_type == "application/json":
            lines.append("-H 'Content-Type: application/json'")
            lines.append(f"-d {shlex.quote(json.dumps(example, ensure_ascii=False))}")
        else:
            lines += [f"-d {shlex.quote(f'{name}={value}')}" for name, value in example.items()]
    return " \\\n  ".join(lines)


# -- shapes ----------------------------------------------------------------------------------------------


def _shapes(described: Mapping[str, Any]) -> Iterator[tuple[str, Markup, tuple[Field, ...]]]:
    """Yield what answers are made of; bodies stand beside their operations."""
    for name, schema in described["components"]["schemas"].items():
        if schema["type"] == "object" and not name.endswith("In"):
            yield name, inline(schema.get("description", "")), tuple(_fields(schema))


def _fields(schema: Mapping[str, Any]) -> Iterator[Field]:
    required = schema.get("required", ())
    for name, one in schema.get("properties", {}).items():
        given = [one, *one.get("anyOf", ())]
        about = next((part["description"] for part in given if "description" in part), "")
        yield Field(name=name, type=type_of(one), required=name in required, about=inline(about))


def type_of(schema: Mapping[str, Any]) -> Markup:
    """Return a type in words: `string`, `"link" | "sms"`, `array of` a shape, and its bounds."""
    if "$ref" in schema:
        return _shape_link(schema["$ref"].removeprefix(REF))
    if "anyOf" in schema:
        return Markup(" | ").join(dict.fromkeys(type_of(one) for one in schema["anyOf"]))
    if "const" in schema:
        return escape(json.dumps(schema["const"]))
    if "enum" in schema:
        return Markup(" | ").join(escape(json.dumps(value)) for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return Markup("array of {}").format(type_of(schema["items"]))
    words = " | ".join(kind) if isinstance(kind, list) else str(schema.get("format", kind))
    bounds = _bounds(schema)
    return escape(f"{words} {bounds}" if bounds else words)


def _shape_link(name: str) -> Markup:
    schema = document()["components"]["schemas"][name]
    if "enum" in schema:
        return type_of(schema)
    return Markup('<a href="#shape-{0}">{0}</a>').format(name)


def _bounds(schema: Mapping[str, Any]) -> str:
    least = schema.get("minimum", schema.get("minLength"))
    most = schema.get("maximum", schema.get("maxLength"))
    unit = " characters" if "maxLength" in schema else ""
    match least, most:
        case None, None:
            shown = ""
        case None, _:
            shown = f"up to {most:,}{unit}"
        case _, None:
            shown = f"from {least:,}"
        case _:
            shown = f"{least:,} to {most:,}{unit}"
    if "default" in schema and schema["default"] is not None:
        shown = f"{shown}, default {json.dumps(schema['default'])}".removeprefix(", ")
    return f"({shown})" if shown else ""


# -- codes -----------------------------------------------------------------------------------------------


def _codes() -> Iterator[Code]:
    answering: dict[str, list[str]] = {code: [] for code in KINDS}
    for declared in OPERATIONS.values():
        for code in codes_of(declared):
            answering[code].append(declared.name)
    for code, kind in sorted(KINDS.items(), key=lambda item: (item[1].status, item[0])):
        names = answering[code]
        yield Code(
            code=code,
            status=kind.status,
            title=kind.title,
            meaning=inline(kind.meaning),
            calls=tuple(names) if len(names) <= _WORTH_LISTING else (),
        )
