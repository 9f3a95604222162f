"""Operations: what each call of the API takes, needs and answers, and how one is carried out.

An `Operation` is data; from it come the Flask route, the checks in front of the handler, and the OpenAPI
description.  A handler only says what is to be done (`Work`); the dispatcher opens the one transaction,
claims the idempotency key in it, runs the use case, renders, stores the answer and commits.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from flask import Flask, Request, Response, current_app, g, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import MethodNotAllowed

from identity_service.api import problems, strict_json
from identity_service.api.schemas import Input, Output, Query
from identity_service.container import Container
from identity_service.db.store import Tx
from identity_service.errors import Actor, FieldError, Refused, not_found
from identity_service.services.clients import Principal, Scope
from identity_service.services.idempotency import Answer, Claim

JSON: Final = "application/json"
_KEY_SECONDS: Final = 0.5
"""How long a found API key is believed without asking again: a revoked one is refused within a second."""
_METHODS: Final = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}
_ID: Final = re.compile(r"[a-z]{3}_[0-9a-z]{1,36}", re.ASCII)
_NAME: Final = re.compile(r"[a-z][a-z-]{0,39}", re.ASCII)
"""What a path names by a word of ours and not by an id."""
_FIELD_NAME: Final = re.compile(r"[A-Za-z][A-Za-z_]{0,39}", re.ASCII)
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,254}", re.ASCII)
EXTENSION: Final = "identity"


@dataclass(frozen=True, slots=True)
class Work:
    """What a handler asks for: a use case for one transaction, and how its result is told."""

    use_case: Callable[[Tx], Any]
    render: Callable[[Any], BaseModel | Answer]
    status: Callable[[Any], int] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked: its caller, path values, body and query."""

    services: Container
    principal: Principal
    values: Mapping[str, str]
    body: Any
    query: Any

    def require(self, scope: Scope) -> None:
        """Ask for a scope beyond the operation's own.

        Raises:
            Refused: `scope_missing`.
        """
        if not self.principal.may(scope):
            raise Refused("scope_missing", f"This needs the scope {scope}.", scope=scope.value)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One call of the API, as data.

    Parameters:
        writes: the use case may change the store (a POST; it may carry an Idempotency-Key).
        answers: status → model of the success answers.
        refusals: the stable codes beyond those that every operation may answer.
        links: OpenAPI links: name → (operation id, parameters).
        as_text: media types, beside JSON, in which the first answer may come, each with an example; such
            an answer carries an ETag.
    """

    name: str
    method: str
    path: str
    tag: str
    summary: str
    scope: Scope
    answers: Mapping[int, type[Output]]
    handler: Callable[[Call], Work]
    body: type[Input] | None = None
    body_optional: bool = False
    query: type[Query] | None = None
    refusals: tuple[str, ...] = ()
    description: str = ""
    example: Mapping[str, Any] | None = None
    links: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    as_text: Mapping[str, str] = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def flask_path(self) -> str:
        return self.path.replace("{", "<").replace("}", ">")


OPERATIONS: Final[dict[str, Operation]] = {}


def operation(
    method: str, path: str, **options: Any
) -> Callable[[Callable[[Call], Work]], Callable[[Call], Work]]:
    """Declare the decorated handler as an operation; its docstring is the description."""

    def declare(handler: Callable[[Call], Work]) -> Callable[[Call], Work]:
        name = handler.__name__
        if name in OPERATIONS:
            raise ValueError(f"two operations are called {name}")
        OPERATIONS[name] = Operation(
            name=name,
            method=method,
            path=path,
            handler=handler,
            description=" ".join((handler.__doc__ or "").split()),
            **options,
        )
        return handler

    return declare


def install(app: Flask, services: Container) -> None:
    """Route every declared operation."""
    keys = KeyRing(services)
    for declared in OPERATIONS.values():
        view = functools.partial(_dispatch, declared, services, keys)
        app.add_url_rule(
            declared.flask_path,
            declared.name,
            view,
            methods=[declared.method],
            provide_automatic_options=False,
        )
    _close_siblings(app)


def _close_siblings(app: Flask) -> None:
    """Keep `GET /v1/invites/lookup` from being read as the invite whose id is `lookup`."""
    fixed: dict[str, set[str]] = {}
    for declared in OPERATIONS.values():
        if "{" not in declared.path:
            fixed.setdefault(declared.path, set()).add(declared.method)
    for path, methods in fixed.items():
        app.add_url_rule(
            path,
            f"{path} otherwise",
            functools.partial(_refuse_method, sorted(methods)),
            methods=sorted(_METHODS - methods),
            provide_automatic_options=False,
        )


def _refuse_method(allowed: list[str]) -> Response:
    raise MethodNotAllowed(valid_methods=allowed)


# -- carrying one out ------------------------------------------------------------------------------------


def _dispatch(declared: Operation, services: Container, keys: KeyRing, **values: str) -> Response:
    principal = keys.authenticate(request)
    g.client = principal.client
    body_bytes, body = _read_body(declared)
    if not principal.may(declared.scope):
        raise Refused("scope_missing", f"This needs the scope {declared.scope}.", scope=declared.scope.value)
    if not all((_ID if name.endswith("_id") else _NAME).fullmatch(value) for name, value in values.items()):
        raise not_found("thing")  # what no id looks like is not asked of a store that may not even hold it
    actor = Actor(
        kind="client", name=principal.client, client_id=principal.client_id, request_id=g.request_id
    )
    claim = _claim(declared, principal, body_bytes)
    call = Call(
        services=services,
        principal=principal,
        values=values,
        body=None if declared.body is None else _validate(declared.body, body),
        query=_read_query(declared),
    )
    work = declared.handler(call)
    if not declared.writes:
        result = services.store.query(actor, work.use_case)
        return _respond(_answer(declared, work, result))
    return _respond(
        services.store.transact(actor, lambda tx: _carry_out(tx, declared, services, claim, work))
    )


def _carry_out(tx: Tx, declared: Operation, services: Container, claim: Claim | None, work: Work) -> Answer:
    """The use case and its stored answer, in one transaction."""
    if claim is None:
        return _answer(declared, work, work.use_case(tx))
    stored = services.idempotency.begin(tx, claim)
    if stored is not None:
        stored.headers["Idempotency-Replayed"] = "true"
        return stored
    try:
        answer = _answer(declared, work, work.use_case(tx))
    except Refused as refused:
        status = problems.KINDS[refused.code].status
        if refused.keeps_effect and status not in (401, 409, 429):
            status, headers, body = problems.of_refusal(refused, g.request_id, tx.now)
            services.idempotency.keep(tx, claim, Answer(status=status, headers=headers, body=body))
        raise
    services.idempotency.keep(tx, claim, answer)
    return answer


def _answer(declared: Operation, work: Work, result: Any) -> Answer:
    rendered = work.render(result)
    if isinstance(rendered, Answer):
        return rendered
    status = next(iter(declared.answers)) if work.status is None else work.status(result)
    body = rendered.model_dump_json(exclude_defaults=True)  # `code?`: absent, not null
    return Answer(status=status, headers={"Content-Type": JSON}, body=body)


def _respond(answer: Answer) -> Response:
    response = Response(answer.body, status=answer.status, headers=answer.headers)
    if "ETag" in answer.headers:  # who has the very same answer already is told so in a few bytes
        response.make_conditional(request)
    return response


def _claim(declared: Operation, principal: Principal, body: bytes) -> Claim | None:
    key = request.headers.get("Idempotency-Key")
    if key is None or not declared.writes:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise Refused("header_invalid", "An Idempotency-Key is 1 to 255 printable ASCII characters.")
    return Claim(client_id=principal.client_id, key=key, method=declared.method, path=request.path, body=body)


def _read_body(declared: Operation) -> tuple[bytes, Any]:
    """Return (raw, parsed).  Raises: Refused, with what is wrong."""
    length = request.content_length
    if length is not None and length > strict_json.MAX_BYTES:
        raise Refused("body_too_large", f"At most {strict_json.MAX_BYTES} bytes are read.")
    if declared.method == "GET":
        return b"", None
    raw = request.stream.read(strict_json.MAX_BYTES + 1)
    if len(raw) > strict_json.MAX_BYTES:
        raise Refused("body_too_large", f"At most {strict_json.MAX_BYTES} bytes are read.")
    if declared.body is None:
        if raw.strip() not in (b"", b"{}"):
            raise Refused("bad_request", "This call takes no body.")
        return raw, None
    if not raw and declared.body_optional:
        return raw, {}
    if request.mimetype != JSON:
        raise Refused("content_type_unsupported", "Send application/json.")
    return raw, strict_json.loads(raw)


def _validate(model: type[BaseModel], data: Any) -> BaseModel:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise Refused("validation_failed", "The body does not fit.", errors=field_errors(error)) from None


def field_errors(error: ValidationError) -> list[FieldError]:
    """Turn pydantic's findings into pointers; what was sent is never echoed."""
    return [
        FieldError(pointer=_pointer(item["loc"]), code=item["type"], detail=item["msg"])
        for item in error.errors(include_url=False, include_input=False, include_context=False)[:50]
    ]


def _pointer(location: tuple[int | str, ...]) -> str:
    """Return a JSON pointer.  A key that cannot be a field's name is `?`: it may be a phone or a code."""
    return "".join(
        f"/{part}" if isinstance(part, int) or _FIELD_NAME.fullmatch(part) else "/?" for part in location
    )


def _read_query(declared: Operation) -> Any:
    if declared.query is None:
        if request.query_string and request.args:
            raise _unknown_parameter(next(iter(request.args)))
        return None
    values = request.args.to_dict(flat=False)
    for name, given in values.items():
        if name not in declared.query.model_fields:
            raise _unknown_parameter(name)
        if len(given) > 1:
            raise Refused("query_parameter_invalid", f"{name} is given twice.")
        if "\x00" in given[0]:
            raise Refused("query_parameter_invalid", f"{name} holds NUL.")
    try:
        return declared.query.model_validate({name: given[0] for name, given in values.items()})
    except ValidationError as error:
        raise Refused(
            "query_parameter_invalid", "A query parameter does not fit.", errors=field_errors(error)
        ) from None


def _unknown_parameter(name: str) -> Refused:
    shown = f" {name}" if _FIELD_NAME.fullmatch(name) else " of such a name"
    return Refused("query_parameter_unknown", f"There is no query parameter{shown} here.")


class KeyRing:
    """Finds whose key a request carries, believing a found one for half a second."""

    _MOST: Final = 10_000

    def __init__(self, services: Container) -> None:
        self._services = services
        self._known: dict[str, tuple[float, Principal]] = {}

    def authenticate(self, req: Request) -> Principal:
        """Raises: Refused `unauthenticated`."""
        scheme, _, key = req.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Refused("unauthenticated", "Send `Authorization: Bearer KEY`.")
        known = self._known.get(key)
        now = time.monotonic()
        if known is not None and known[0] > now and not self._is_over(known[1]):
            return known[1]
        actor = Actor(kind="client", name="?", request_id=g.request_id)
        principal = self._services.store.query(
            actor, lambda tx: self._services.clients.authenticate(tx, key.strip())
        )
        if principal is None:
            self._known.pop(key, None)
            raise Refused("unauthenticated", "This API key is unknown, expired or revoked.")
        if len(self._known) >= self._MOST:
            self._known.clear()
        self._known[key] = (now + _KEY_SECONDS, principal)
        return principal

    def _is_over(self, principal: Principal) -> bool:
        return principal.expires_at is not None and principal.expires_at <= self._services.clock.now()


def services_of_app() -> Container:
    """Return the container of the running app, for pages that are no operations."""
    container: Container = current_app.extensions[EXTENSION]
    return container


def phrase(status: int) -> str:
    return HTTPStatus(status).phrase
