"""Health, metrics, request ids, and the frame of every error."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable

import pytest
from sqlalchemy import text

from identity_service.ports import MINUTE
from tests.service.steps import no, ok, start
from tests.support.world import World


def test_the_process_is_healthy_whatever_its_store_does(world: World) -> None:
    answer = world.app.test_client().get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_readiness_tells_that_the_store_answers_and_when_the_worker_was_seen(world: World) -> None:
    http = world.app.test_client()
    assert ok(http.get("/readyz")) == {"status": "ok", "worker_seen_seconds_ago": None}
    world.worker.step()
    assert ok(http.get("/readyz"))["worker_seen_seconds_ago"] in (0, 1)
    world.clock.advance(MINUTE)
    assert ok(http.get("/readyz"))["worker_seen_seconds_ago"] in (60, 61)


def test_a_store_that_was_never_migrated_is_not_ready(world: World) -> None:
    with world.services.store.engine.begin() as connection:
        connection.execute(text("DROP TABLE marks"))
    answer = world.app.test_client().get("/readyz")
    assert answer.status_code == 503, answer.text


def test_a_store_that_cannot_be_reached_is_a_503_with_the_advice_to_come_again(
    new_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world()
    api = world.api()
    monkeypatch.setattr(
        world.services.store.engine, "raw_connection", _fail(sqlite3.OperationalError("no such file"))
    )
    answer = api.get("/v1/members")
    no(answer, 503, "store_unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert "no such file" not in answer.text
    assert world.app.test_client().get("/readyz").status_code == 503
    assert world.app.test_client().get("/healthz").status_code == 200


def _fail(error: Exception) -> Callable[[], None]:
    def connect() -> None:
        raise error

    return connect


def test_an_unexpected_error_is_a_problem_without_any_of_its_values(
    world: World, monkeypatch: pytest.MonkeyPatch, logs: io.StringIO
) -> None:
    api, secret = world.api(), "+79160000042"

    def explode(*_: object, **__: object) -> None:
        raise RuntimeError(f"the row of {secret} is broken")

    monkeypatch.setattr(type(world.services.members), "page", explode)
    answer = api.get("/v1/members", headers={"X-Request-Id": "trace-7"})
    problem = no(answer, 500, "internal")
    assert problem["request_id"] == "trace-7"
    logged = logs.getvalue()
    assert "trace-7" in logged
    assert "RuntimeError" in logged
    assert secret not in answer.text + logged


def test_metrics_carry_route_templates_and_no_ids_or_phones(world: World) -> None:
    api, phone = world.api(), world.phone()
    made = start(api, phone)
    no(api.get("/v1/members?phone=%2B79160000001"), 400, "query_parameter_unknown")
    no(api.get("/nowhere/79160000001"), 404, "not_found")
    api.get(f"/v1/verifications/{made['id']}")
    shown = world.app.test_client().get("/metrics").text
    assert 'route="/v1/verifications/<verification_id>"' in shown
    assert 'identity_refusals_total{code="query_parameter_unknown"}' in shown
    assert made["id"] not in shown
    assert "79160000001" not in shown
    assert "nowhere" not in shown


@pytest.mark.parametrize("given", ["trace-7", "a" * 128, "0.1_x"])
def test_a_callers_request_id_is_echoed(world: World, given: str) -> None:
    api = world.api()
    answer = api.get("/v1/members/none", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == given
    assert no(answer, 404, "not_found")["request_id"] == given


@pytest.mark.parametrize("given", ["", "a" * 129, "a b", "x\ty", "é", "<script>"])
def test_a_request_id_that_is_none_is_replaced(world: World, given: str) -> None:
    header = {"X-Request-Id": given.encode().decode("latin-1")}
    made = world.app.test_client().get("/healthz", headers=header).headers["X-Request-Id"]
    assert made.startswith("req_")
    assert given == "" or given not in made


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("DELETE", "/v1/invites", 405, "method_not_allowed"),
        ("PUT", "/healthz", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there_is_a_problem_too(
    world: World, method: str, path: str, status: int, code: str
) -> None:
    answer = world.app.test_client().open(path, method=method)
    no(answer, status, code)
    if status == 405:
        assert answer.headers["Allow"]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b'{"code": "x"}', "text/plain", 415, "content_type_unsupported"),
        (b'{"code": "x"}', "", 415, "content_type_unsupported"),
        (b"{", "application/json", 400, "json_malformed"),
        (b'{"code": "x", "code": "y"}', "application/json", 400, "json_duplicate_key"),
        (b'{"code": NaN}', "application/json", 400, "json_not_a_number"),
        (b'{"code": "\\u0000"}', "application/json", 400, "json_nul"),
        (b"[" * 40 + b"]" * 40, "application/json", 400, "json_too_deep"),
        (b'{"code": "' + b"x" * 65_536 + b'"}', "application/json", 413, "body_too_large"),
        (b'{"code": "x", "more": 1}', "application/json", 422, "validation_failed"),
        (b"[]", "application/json", 422, "validation_failed"),
        (b"null", "application/json", 422, "validation_failed"),
    ],
)
def test_a_bad_body_is_a_clear_problem_and_is_not_echoed(
    world: World, body: bytes, content_type: str, status: int, code: str
) -> None:
    api = world.api()
    headers = {"Authorization": f"Bearer {api.key}"} | (
        {"Content-Type": content_type} if content_type else {}
    )
    answer = api.http.post("/v1/invites/lookup", data=body, headers=headers)
    problem = no(answer, status, code)
    assert problem["type"].endswith(code)
    assert "xxxx" not in json.dumps(problem)


def test_the_published_keys_check_the_assertions_that_are_issued(world: World) -> None:
    from joserfc import jwt
    from joserfc.jwk import KeySet

    api, seed = world.api(), world.seed(quota=1)
    assertion = world.join(api, seed.id)["assertion"]
    answer = world.app.test_client().get("/.well-known/jwks.json")
    assert answer.mimetype == "application/jwk-set+json"
    claims = jwt.decode(assertion, KeySet.import_key_set(answer.json), algorithms=["EdDSA"]).claims  # type: ignore[arg-type]
    assert (claims["aud"], claims["purpose"]) == (api.client_id, "registration")


def test_a_request_is_logged_by_its_route_and_never_by_what_it_carries(
    world: World, logs: io.StringIO
) -> None:
    api, phone = world.api(), world.phone()
    made = start(api, phone)
    api.get(f"/v1/verifications/{made['id']}", headers={"X-Request-Id": "trace-8"})
    api.get(f"/v1/members?external_id=private&state={phone[1:]}")
    lines = [json.loads(line) for line in logs.getvalue().splitlines()]
    told = next(line for line in lines if line.get("request_id") == "trace-8")
    assert (told["route"], told["method"], told["status"]) == (
        "/v1/verifications/<verification_id>",
        "GET",
        200,
    )
    assert told["client"].startswith("client-")
    for secret in (phone[1:], made["id"], "private", api.key):
        assert secret not in logs.getvalue()
