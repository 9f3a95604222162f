"""Requests that are wrong around their bodies: addresses, methods, headers, ids, codes and tokens."""

from __future__ import annotations

import io
import json
import re

import pytest

from identity_service.api.strict_json import MAX_BYTES
from identity_service.ports import DAY, MINUTE
from tests.api.unharmed import PHONE, Unharmed, contents, login
from tests.support.world import Api, World

# -- the request itself ------------------------------------------------------------------------------------


def test_a_body_over_64_kib_is_refused_whether_or_not_its_length_is_told(unharmed: Unharmed) -> None:
    at_most = json.dumps(login("x")).encode().ljust(MAX_BYTES)
    unharmed.refuses(unharmed.send(at_most), 422, "phone_invalid")
    unharmed.refuses(unharmed.send(at_most + b" "), 413, "body_too_large")
    for size, status, code in ((0, 422, "phone_invalid"), (1, 413, "body_too_large")):
        chunked = unharmed.send(
            b"",
            headers={"Transfer-Encoding": "chunked"},
            input_stream=io.BytesIO(at_most + b" " * size),
            environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
        )
        unharmed.refuses(chunked, status, code)


def test_a_length_that_is_a_lie_is_refused_before_the_body_is_read(unharmed: Unharmed) -> None:
    answer = unharmed.send(b"", environ_overrides={"CONTENT_LENGTH": str(10**12)})
    unharmed.refuses(answer, 413, "body_too_large")


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "application/xml",
        "application/x-www-form-urlencoded",
        "json",
        "a/b;;=",
        "é",
    ],
)
def test_a_body_that_is_not_called_json_is_refused(unharmed: Unharmed, content_type: str | None) -> None:
    body = json.dumps(login(PHONE)).encode()
    answer = unharmed.send(body, headers={"Content-Type": content_type})
    unharmed.refuses(answer, 415, "content_type_unsupported")


def test_json_with_a_charset_is_json(unharmed: Unharmed) -> None:
    body = json.dumps(login("x")).encode()
    answer = unharmed.send(body, headers={"Content-Type": "Application/JSON; charset=utf-8"})
    unharmed.refuses(answer, 422, "phone_invalid")


def test_a_body_where_none_belongs_is_refused(unharmed: Unharmed) -> None:
    path = "/v1/invites/inv_00000000000000000000000000000/resend"
    unharmed.refuses(unharmed.send(b'{"a": 1}', path), 400, "bad_request")
    unharmed.refuses(unharmed.send(b"{}", path), 404, "not_found")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("colour=red", "query_parameter_unknown"),
        ("Limit=5", "query_parameter_unknown"),
        ("limit[]=5", "query_parameter_unknown"),
        ("=5", "query_parameter_unknown"),
        ("%2B79161234567=1", "query_parameter_unknown"),
        ("%00=1", "query_parameter_unknown"),
        ("limit=0", "query_parameter_invalid"),
        ("limit=201", "query_parameter_invalid"),
        ("limit=-1", "query_parameter_invalid"),
        ("limit=%2B5", "query_parameter_invalid"),
        ("limit=5.0", "query_parameter_invalid"),
        ("limit=1_0", "query_parameter_invalid"),
        ("limit=%205", "query_parameter_invalid"),
        ("limit=", "query_parameter_invalid"),
        ("limit=five", "query_parameter_invalid"),
        ("limit=%D9%A5", "query_parameter_invalid"),
        ("limit=" + "9" * 5000, "query_parameter_invalid"),
        ("limit=5&limit=5", "query_parameter_invalid"),
        ("state=asleep", "query_parameter_invalid"),
        ("state=active%00", "query_parameter_invalid"),
        ("external_id=" + "x" * 256, "query_parameter_invalid"),
        ("cursor=" + "x" * 201, "query_parameter_invalid"),
        ("cursor=", "cursor_invalid"),
        ("cursor=x", "cursor_invalid"),
        ("cursor=*", "cursor_invalid"),
        ("cursor=AAAA", "cursor_invalid"),
        ("cursor=8J-YgA", "cursor_invalid"),
        ("cursor=%EF%BC%A1", "cursor_invalid"),
    ],
)
def test_a_query_that_does_not_fit_is_refused(unharmed: Unharmed, query: str, code: str) -> None:
    answer = unharmed.api.get(f"/v1/members?{query}")
    unharmed.refuses(answer, 400, code)
    assert "79161234567" not in answer.text


def test_a_query_where_none_belongs_is_refused(unharmed: Unharmed) -> None:
    unharmed.refuses(
        unharmed.api.get(f"/v1/members/{unharmed.seed.id}?verbose=1"), 400, "query_parameter_unknown"
    )
    unharmed.refuses(unharmed.api.post("/v1/invites?dry_run=1", {}), 422, "validation_failed")


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "evt_nope", "evt_\u200b", "mem_1", "9" * 30, "١"])
def test_an_event_position_that_is_none_is_refused(unharmed: Unharmed, after: str) -> None:
    answer = unharmed.api.http.get(
        "/v1/events", query_string={"after": after}, headers={"Authorization": f"Bearer {unharmed.api.key}"}
    )
    unharmed.refuses(answer, 400, "cursor_invalid")


@pytest.mark.parametrize(
    "member_id",
    [
        "x",
        "%00",
        "mem_%00",
        "mem_",
        "MEM_1",
        "mem_1%0d%0aX-Evil:%201",
        "..%2e",
        "%F0%9F%98%80",
        "%FF",
        "mem_" + "0" * 500,
        "inv_00000000000000000000000000000",
        "' OR '1'='1",
        "mem_١٢٣",
        "mem_1\u200b",
        "+79161234567",
    ],
)
def test_an_id_that_is_none_is_not_found(unharmed: Unharmed, member_id: str) -> None:
    for path in ("/v1/members/{}", "/v1/members/{}/quota", "/v1/members/{}/subtree", "/v1/invites/{}"):
        answer = unharmed.api.get(path.format(member_id))
        unharmed.refuses(answer, 404, "not_found")
        assert "X-Evil" not in answer.headers
        assert "79161234567" not in answer.text


@pytest.mark.parametrize(
    "path", ["/v1/members/", "/v1/invites/bulk/", "/v1//members", "/v1", "/v2/members", "/V1/members"]
)
def test_a_path_that_is_none_is_not_found(unharmed: Unharmed, path: str) -> None:
    unharmed.refuses(unharmed.api.get(path), 404, "not_found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize(
    "path", ["/v1/members", "/v1/invites/lookup", "/v1/invites/bulk", "/v1/members/mem_1/quota"]
)
def test_a_wrong_method_is_told_the_right_ones(unharmed: Unharmed, method: str, path: str) -> None:
    answer = unharmed.api.call(method, path)
    unharmed.refuses(answer, 405, "method_not_allowed")
    right = "POST" if path.startswith("/v1/invites/") else "GET"
    assert right in re.split(", ?", answer.headers["Allow"])


def test_reading_what_is_only_written_is_a_wrong_method_and_no_unknown_id(unharmed: Unharmed) -> None:
    for path in ("/v1/invites/lookup", "/v1/invites/bulk", "/v1/members/lookup", "/v1/registrations"):
        answer = unharmed.api.get(path)
        unharmed.refuses(answer, 405, "method_not_allowed")
        assert answer.headers["Allow"] == "POST"


def test_head_is_get_without_its_body(unharmed: Unharmed) -> None:
    path = f"/v1/members/{unharmed.seed.id}"
    head, get = unharmed.api.call("HEAD", path), unharmed.api.get(path)
    assert (head.status_code, head.data) == (200, b"")
    assert head.content_length == get.content_length
    assert unharmed.api.call("HEAD", "/v1/members/mem_0").status_code == 404
    assert unharmed.api.call("HEAD", "/v1/registrations").status_code == 405


# -- headers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", " ", " x", "x" * 256, "é", "x\ty", "\x7f", "ключ"])
def test_an_idempotency_key_that_is_none_is_refused(unharmed: Unharmed, key: str) -> None:
    raw = key.encode().decode("latin-1")  # headers travel as bytes
    answer = unharmed.api.post("/v1/verifications", login(PHONE), headers={"Idempotency-Key": raw})
    unharmed.refuses(answer, 400, "header_invalid")


@pytest.mark.parametrize(
    "given",
    ["<script>alert(1)</script>", "a" * 129, "a b", "é", '","x":"', PHONE, "{{7*7}}", "%0d%0aX-Evil: 1"],
)
def test_a_request_id_that_could_do_harm_is_replaced(unharmed: Unharmed, given: str) -> None:
    answer = unharmed.api.get("/v1/members/mem_0", headers={"X-Request-Id": given})
    problem = unharmed.refuses(answer, 404, "not_found")
    assert re.fullmatch(r"req_[0-9a-f]{24}", problem["request_id"])
    assert given not in answer.text
    assert "X-Evil" not in answer.headers


def test_huge_headers_are_no_reason_to_fail(unharmed: Unharmed) -> None:
    unharmed.refuses(
        unharmed.api.get("/v1/members", headers={"Authorization": "Bearer " + "x" * 100_000}),
        401,
        "unauthenticated",
    )
    answer = unharmed.api.get(
        "/v1/members", headers={"X-Anything": "x" * 100_000, "X-Request-Id": "y" * 100_000}
    )
    assert answer.status_code == 200
    assert len(answer.headers["X-Request-Id"]) < 40


@pytest.mark.parametrize(
    "key",
    ["isk_", "isk_" + "a" * 40, "isk_" + "a" * 5000, "null", "isk_\u00e9", "' OR 1=1 --", "isk_a isk_b"],
)
def test_a_key_that_is_none_is_refused_and_not_repeated(unharmed: Unharmed, key: str) -> None:
    answer = unharmed.api.get("/v1/members", headers={"Authorization": f"Bearer {key}"})
    unharmed.refuses(answer, 401, "unauthenticated")
    assert key not in answer.text or key == "null"


def test_a_key_that_has_expired_is_refused(world: World) -> None:
    unharmed = Unharmed(world)
    key = world.transact(
        lambda tx: world.services.clients.create(tx, "brief", ("members:read",), tx.now + 10 * MINUTE)
    )
    brief = Api(http=world.app.test_client(), key=key.key, client_id=key.client_id)
    assert brief.get("/v1/members").status_code == 200
    unharmed.rows = contents(world)
    world.clock.advance(11 * MINUTE)
    unharmed.refuses(brief.get("/v1/members"), 401, "unauthenticated")


# -- codes and tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "typo"),
    [
        ("7KQ4M-2XD9P-TA3HX", True),
        ("7KQ4M-2XD9P-AT3HK", True),
        ("7KQ4M-2XD9P-TA3H", False),
        ("7KQ4M-2XD9P-TA3HUU", False),
        ("٧KQ4M-2XD9P-TA3HK", False),
        ("7KQ4M\u200b-2XD9P-TA3HK", False),
        ("7KQ4M-2XD9P-TA3H\u212a", False),  # the Kelvin sign, which lower-cases to k
        ("' OR 1=1 --", False),
        ("-", False),
    ],
)
def test_an_invite_code_that_is_none_is_not_redeemable_and_costs_nothing(
    unharmed: Unharmed, code: str, typo: bool
) -> None:
    body = {"purpose": "registration", "phone": PHONE, "invite_code": code}
    answer = unharmed.api.post("/v1/verifications", body)
    problem = unharmed.refuses(answer, 422, "invite_not_redeemable")
    assert [fault["code"] for fault in problem.get("errors", [])] == (["typo"] if typo else [])
    assert code not in answer.text or code == "-"


@pytest.mark.parametrize(
    "code", ["", "12345", "123456789", "１２３４５６", "١٢٣٤٥٦", "12345a", " 123456", "123456\n", 123456]
)
def test_a_one_time_code_that_is_none_is_refused_and_is_no_guess(unharmed: Unharmed, code: object) -> None:
    api = unharmed.api
    made = api.post("/v1/verifications", login(unharmed.world.phone())).json
    assert made is not None
    unharmed.rows = contents(unharmed.world)
    answer = api.post(f"/v1/verifications/{made['id']}/check", {"code": code})
    unharmed.refuses(answer, 422, "validation_failed", pointer="/code")
    assert not code or str(code) not in answer.text


@pytest.mark.parametrize("proof", ["x", "a.b.c", "e30.e30.e30", "é", "x" * 1024, "\u202e", "null"])
def test_a_proof_that_is_none_is_invalid(unharmed: Unharmed, proof: str) -> None:
    for path in ("/v1/logins", "/v1/recoveries"):
        unharmed.refuses(unharmed.api.post(path, {"proof": proof}), 422, "proof_invalid")


def test_a_proof_of_another_purpose_or_client_or_of_yesterday_is_refused(world: World) -> None:
    owner, phone = world.api(), world.phone()
    world.seed(phone=phone)
    proof = world.verify(owner, phone, "login")
    unharmed = Unharmed(world)
    unharmed.refuses(owner.post("/v1/recoveries", {"proof": proof}), 422, "proof_invalid")
    unharmed.refuses(unharmed.api.post("/v1/logins", {"proof": proof}), 422, "proof_invalid")
    tampered = proof[:-9] + ("A" if proof[-9] != "A" else "B") + proof[-8:]
    unharmed.refuses(owner.post("/v1/logins", {"proof": tampered}), 422, "proof_invalid")
    world.clock.advance(DAY)
    unharmed.refuses(owner.post("/v1/logins", {"proof": proof}), 422, "proof_expired")
