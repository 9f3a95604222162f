"""Who may call: keys that expire, are revoked and rotated, and what each scope opens."""

from __future__ import annotations

import time

import pytest

from identity_service.errors import Refused
from identity_service.ports import DAY, HOUR, MINUTE
from identity_service.services.clients import Scope
from tests.service.steps import no, ok
from tests.support.world import Api, World


def _with(api: Api, key: str) -> Api:
    return Api(http=api.http, key=key, client_id=api.client_id)


def _works(api: Api) -> bool:
    answer = api.get("/v1/members")
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


def test_an_expired_key_is_refused_at_once(world: World) -> None:
    end = world.clock.now() + HOUR
    made = world.transact(lambda tx: world.services.clients.create(tx, "shop", ("members:read",), end))
    api = Api(http=world.app.test_client(), key=made.key, client_id=made.client_id)
    assert _works(api)
    world.clock.advance(HOUR)
    no(api.get("/v1/members"), 401, "unauthenticated")


def test_a_revoked_key_is_refused_within_a_second_also_where_it_was_just_used(world: World) -> None:
    api = world.api()
    assert _works(api)
    assert world.transact(lambda tx: world.services.clients.revoke(tx, api.client_id)) == 1
    until = time.monotonic() + 1
    while _works(api):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_one_key_is_revoked_and_the_clients_other_one_lives(world: World) -> None:
    first = world.transact(lambda tx: world.services.clients.create(tx, "shop", ("members:read",)))
    second = world.transact(lambda tx: world.services.clients.rotate(tx, "shop", overlap=DAY))
    api = Api(http=world.app.test_client(), key=first.key, client_id=first.client_id)
    world.transact(lambda tx: world.services.clients.revoke(tx, first.key_id))
    assert not _works(api)
    assert _works(_with(api, second.key))


def test_in_a_rotation_two_keys_are_live_and_the_old_one_ends_by_itself(world: World) -> None:
    clients = world.services.clients
    first = world.transact(lambda tx: clients.create(tx, "shop", ("members:read", "invites:read")))
    second = world.transact(lambda tx: clients.rotate(tx, "shop", overlap=DAY))
    assert second.scopes == first.scopes
    api = Api(http=world.app.test_client(), key=first.key, client_id=first.client_id)
    assert _works(api)
    assert _works(_with(api, second.key))
    with pytest.raises(Refused, match="too_many_keys"):
        world.transact(lambda tx: clients.rotate(tx, "shop", overlap=DAY))
    world.clock.advance(DAY)
    assert not _works(api)
    assert _works(_with(api, second.key))
    world.transact(lambda tx: clients.rotate(tx, "shop", overlap=DAY))


def test_a_rotation_never_lengthens_the_life_of_the_old_key(world: World) -> None:
    clients = world.services.clients
    end = world.clock.now() + HOUR
    first = world.transact(lambda tx: clients.create(tx, "shop", ("members:read",), end))
    world.transact(lambda tx: clients.rotate(tx, "shop", overlap=7 * DAY))
    api = Api(http=world.app.test_client(), key=first.key, client_id=first.client_id)
    assert _works(api)
    world.clock.advance(HOUR + MINUTE)
    assert not _works(api)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic QTpC", "Bearer isk_short", "Bearer é"])
def test_without_a_key_nothing_opens(world: World, header: str) -> None:
    headers = {"Authorization": header.encode().decode("latin-1")} if header else {}
    answer = world.app.test_client().get("/v1/members", headers=headers)
    no(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_an_unknown_scope_or_a_second_client_of_one_name_is_refused(world: World) -> None:
    clients = world.services.clients
    with pytest.raises(Refused, match="scope_unknown"):
        world.transact(lambda tx: clients.create(tx, "shop", ("members:rwad",)))
    world.transact(lambda tx: clients.create(tx, "shop", ("members:read",)))
    with pytest.raises(Refused, match="client_exists"):
        world.transact(lambda tx: clients.create(tx, "shop", ("members:read",)))


def test_every_call_is_closed_to_every_scope_but_its_own_and_admin(world: World) -> None:
    from identity_service.api.operation import OPERATIONS

    apis = {scope: world.api(scope.value) for scope in Scope}
    for operation in OPERATIONS.values():
        path = operation.path
        for name in ("invite_id", "verification_id", "member_id", "recovery_id", "sanction_id"):
            path = path.replace(f"{{{name}}}", "none")
        for scope, api in apis.items():
            answer = api.call(operation.method, path, json={} if operation.body else None)
            opened = answer.status_code != 403
            assert opened == (scope in (operation.scope, Scope.ADMIN)), (operation.name, scope, answer.text)
            if not opened:
                assert no(answer, 403, "scope_missing")["scope"] == operation.scope.value


def test_keys_are_told_by_a_hint_and_never_again(world: World) -> None:
    made = world.transact(lambda tx: world.services.clients.create(tx, "shop", ("admin",)))
    listed = world.query(world.services.clients.keys)
    assert made.key not in str(listed)
    assert [row.hint for row in listed] == [made.key[:8]]
    assert ok(Api(world.app.test_client(), made.key, made.client_id).get("/v1/members"))["data"] == []
