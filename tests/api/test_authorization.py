"""Who may call what: every operation, with no key, with every other scope, and for another client.

All is derived from the declared operations, so that a new one is held to the same without being named here.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from identity_service.api.openapi import document
from identity_service.api.operation import OPERATIONS, Operation
from identity_service.services.clients import Scope
from tests.support.world import LONG_AGO, Api, World

OWNED = ("verification_id", "recovery_id")
"""What belongs to the client that made it.  Members, invites and sanctions are everybody's."""


def parameters(declared: Operation) -> list[str]:
    return re.findall(r"{(\w+)}", declared.path)


def call(api: Api, declared: Operation, ids: dict[str, str], **headers: str) -> Any:
    path = declared.path.format(**{name: ids.get(name, "mem_0") for name in parameters(declared)})
    body = None if declared.example is None else dict(declared.example)
    return api.call(declared.method, path, json=body, headers=headers or None)


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, (answer.json or {}).get("code", "")


def test_no_operation_answers_without_a_key(world: World) -> None:
    api = world.api()
    for header in (
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        f"Token {api.key}",
        f"Bearer {api.key}x",
        "Bearer é",
    ):
        for declared in OPERATIONS.values():
            answer = call(api, declared, {}, Authorization=header)
            assert code_of(answer) == (401, "unauthenticated"), (declared.name, header)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert answer.mimetype == "application/problem+json"


def test_every_operation_refuses_a_key_with_every_scope_but_its_own(world: World) -> None:
    for scope in {declared.scope for declared in OPERATIONS.values()}:
        others = world.api(*(other for other in Scope if other not in (scope, Scope.ADMIN)))
        for declared in OPERATIONS.values():
            if declared.scope is scope:
                answer = call(others, declared, {})
                assert code_of(answer) == (403, "scope_missing"), declared.name
                assert answer.json["scope"] == scope


def test_every_operation_takes_a_key_with_its_own_scope_alone(world: World) -> None:
    for scope in {declared.scope for declared in OPERATIONS.values()}:
        owner = world.api(scope)
        for declared in OPERATIONS.values():
            if declared.scope is scope:
                assert call(owner, declared, {}).status_code not in (401, 403), declared.name


def test_a_campaigns_invites_need_admin_besides_the_operations_scope(world: World) -> None:
    issuer = world.api(*(scope for scope in Scope if scope is not Scope.ADMIN))
    wanted = {"campaign": "spring", "channel": "link"}
    refused = issuer.post("/v1/invites", wanted)
    assert code_of(refused) == (403, "scope_missing")
    in_bulk = issuer.post("/v1/invites/bulk", {"items": [wanted]})
    assert in_bulk.json["data"][0]["problem"]["code"] == "scope_missing"  # type: ignore[index]
    assert world.api().get("/v1/invites").json["data"] == []  # type: ignore[index]


@pytest.fixture
def owned(world: World) -> tuple[Api, dict[str, str]]:
    """A client with one of everything that belongs to it alone."""
    owner, phone = world.api(), world.phone()
    world.seed(phone=phone)
    world.clock.advance(LONG_AGO)
    proof = world.verify(owner, phone, "recovery")
    recovery = owner.post("/v1/recoveries", {"proof": proof}).json
    started = owner.post("/v1/verifications", {"purpose": "login", "phone": world.phone()}).json
    assert recovery is not None
    assert recovery["state"] == "held"
    assert started is not None
    return owner, {"recovery_id": recovery["id"], "verification_id": started["id"]}


def test_what_one_client_made_is_not_there_for_another(
    world: World, owned: tuple[Api, dict[str, str]]
) -> None:
    owner, ids = owned
    stranger, asked = world.api(), 0
    for declared in OPERATIONS.values():
        if not set(parameters(declared)) & set(OWNED):
            continue
        asked += 1
        foreign = call(stranger, declared, ids)
        unknown = call(stranger, declared, {name: value[:-4] + "0000" for name, value in ids.items()})
        assert code_of(foreign) == (404, "not_found"), declared.name
        # A stranger cannot even learn that there is such a thing.
        assert without_id(foreign.json) == without_id(unknown.json), declared.name
        assert set(foreign.headers.keys()) == set(unknown.headers.keys())
        assert call(owner, declared, ids).status_code != 404, declared.name
    assert asked >= 6


def test_a_strangers_calls_change_nothing_of_what_they_could_not_see(
    world: World, owned: tuple[Api, dict[str, str]]
) -> None:
    owner, ids = owned
    paths = [f"/v1/verifications/{ids['verification_id']}", f"/v1/recoveries/{ids['recovery_id']}"]
    before = [stable(owner.get(path).json) for path in paths]
    stranger = world.api()
    for declared in OPERATIONS.values():
        if set(parameters(declared)) & set(OWNED):
            call(stranger, declared, ids)
    assert [stable(owner.get(path).json) for path in paths] == before


def without_id(problem: Any) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name != "request_id"}


def stable(answer: Any) -> dict[str, Any]:
    """An answer without the time at which a code may next be checked, which is always now."""
    return {name: value for name, value in answer.items() if name != "next"}


def test_every_path_with_an_id_of_something_owned_is_covered() -> None:
    for path in document()["paths"]:
        names = re.findall(r"{(\w+)}", path)
        shared = ("member_id", "invite_id", "sanction_id", "decision_id", "message_id")
        known = (*OWNED, *shared, "code", "report", "provider")
        assert set(names) <= set(known), f"say in OWNED whether {path} belongs to one client"
