"""Bodies that are wrong: a clear problem with a stable code, nothing echoed, and nothing changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.unharmed import PHONE, Unharmed, login

# -- phones ----------------------------------------------------------------------------------------------

MALFORMED = {
    "without a plus": "79161234567",
    "blanks": "+7 916 123 45 67",
    "dashes and brackets": "+7(916)123-45-67",
    "a blank before": f" {PHONE}",
    "a line break behind": f"{PHONE}\n",
    "a tel: URI": f"tel:{PHONE}",
    "an extension": f"{PHONE};ext=5",
    "an extension in letters": f"{PHONE}x5",
    "an extension in words": f"{PHONE} ext. 5",
    "letters of a keypad": "+1800FLOWERS",
    "Arabic-Indic digits": "+٧٩١٦١٢٣٤٥٦٧",
    "Devanagari digits": "+७९१६१२३४५६७",
    "fullwidth digits": "+７９１６１２３４５６７",
    "a fullwidth plus": "＋79161234567",
    "mathematical digits": "+𝟕𝟗𝟏𝟔𝟏𝟐𝟑𝟒𝟓𝟔𝟕",
    "a zero-width space": "+7916\u200b1234567",
    "a zero-width joiner": "+7916\u200d1234567",
    "a byte order mark": f"\ufeff{PHONE}",
    "a right-to-left override": f"\u202e{PHONE}",
    "a left-to-right mark": f"{PHONE}\u200e",
    "a soft hyphen": "+7916\u00ad1234567",
    "a combining mark": "+79161234567\u0301",
    "an international prefix": "0079161234567",
    "two plusses": "++79161234567",
    "too short": "+79161",
    "too long": "+7916123456789012",
    "country code zero": "+0123456789",
    "a plus alone": "+",
}
UNASSIGNED = {
    "no such country": "+9991234567890",
    "no such area": "+10001234567",
    "too few digits for its country": "+7916123456",
    "too many digits for its country": "+791612345678",
}
REFUSED_KINDS = {
    "premium": "+19005550123",
    "premium in Britain": "+449098790123",
    "shared cost": "+448453330123",
    "toll free": "+18005550123",
    "a landline": "+442083661177",
    "a satellite network": "+881612345678",
}


@pytest.mark.parametrize("phone", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_phone_that_is_not_e164_is_refused(unharmed: Unharmed, phone: str) -> None:
    answer = unharmed.api.post("/v1/verifications", login(phone))
    problem = unharmed.refuses(answer, 422, "phone_invalid", pointer="/phone")
    assert problem["errors"][0]["code"] == "phone_malformed"
    assert "9161234567" not in answer.text
    assert phone not in answer.text or phone == "+"


@pytest.mark.parametrize("phone", UNASSIGNED.values(), ids=UNASSIGNED.keys())
def test_a_phone_that_nobody_can_have_is_refused(unharmed: Unharmed, phone: str) -> None:
    answer = unharmed.api.post("/v1/verifications", login(phone))
    problem = unharmed.refuses(answer, 422, "phone_invalid", pointer="/phone")
    assert problem["errors"][0]["code"] == "phone_unassigned"
    assert phone not in answer.text


@pytest.mark.parametrize("phone", REFUSED_KINDS.values(), ids=REFUSED_KINDS.keys())
def test_a_phone_of_a_kind_that_nothing_is_sent_to_is_refused(unharmed: Unharmed, phone: str) -> None:
    answer = unharmed.api.post("/v1/verifications", login(phone))
    problem = unharmed.refuses(answer, 422, "phone_invalid", pointer="/phone")
    assert problem["errors"][0]["code"] == "phone_kind_refused"
    assert phone not in answer.text


def test_a_bad_phone_is_refused_wherever_one_may_stand(unharmed: Unharmed) -> None:
    api, bad = unharmed.api, "+7916\u200b1234567"
    invite = {"issuer_id": unharmed.seed.id, "channel": "sms", "phone": bad}
    for path, body in (
        ("/v1/invites", invite),
        ("/v1/members/lookup", {"phone": bad}),
        ("/v1/registrations", {"invite_code": "7KQ4M-2XD9P-TA3HK", "phone": bad}),
    ):
        unharmed.refuses(api.post(path, body), 422, "phone_invalid", pointer="/phone")


# -- JSON ------------------------------------------------------------------------------------------------

DEEP = b'{"purpose":"login","phone":' + b"[" * 32 + b"]" * 32 + b"}"
SHALLOW = DEEP.replace(b"[]", b"")
BROKEN = {
    "nothing": (b"", "json_malformed"),
    "blanks": (b"  \n", "json_malformed"),
    "half an object": (b'{"purpose": "login"', "json_malformed"),
    "a trailing comma": (b'{"purpose": "login",}', "json_malformed"),
    "a comment": (b'{"purpose": "login"} // hello', "json_malformed"),
    "single quotes": (b"{'purpose': 'login'}", "json_malformed"),
    "two documents": (b'{"purpose": "login"}{}', "json_malformed"),
    "a byte order mark": (b'\xef\xbb\xbf{"purpose": "login"}', "json_malformed"),
    "UTF-16": ('{"purpose": "login"}'.encode("utf-16"), "json_malformed"),
    "Latin-1": ('{"purpose": "é"}'.encode("latin-1"), "json_malformed"),
    "an overlong encoding": (b'{"purpose": "\xc0\xaf"}', "json_malformed"),
    "a surrogate in UTF-8": (b'{"purpose": "\xed\xa0\x80"}', "json_malformed"),
    "a control character": (b'{"purpose": "lo\x01gin"}', "json_malformed"),
    "a raw NUL in a string": (b'{"purpose": "lo\x00gin"}', "json_malformed"),
    "a raw NUL behind": (b'{"purpose": "login"}\x00', "json_malformed"),
    "a number of 5,000 digits": (b'{"purpose": ' + b"1" * 5000 + b"}", "json_malformed"),
    "a key twice": (b'{"purpose": "login", "purpose": "recovery"}', "json_duplicate_key"),
    "a key twice, once escaped": (b'{"purpose": "login", "purp\\u006fse": "x"}', "json_duplicate_key"),
    "a key twice, deep": (b'{"purpose": {"a": {"b": 1, "b": 2}}}', "json_duplicate_key"),
    "NaN": (b'{"purpose": NaN}', "json_not_a_number"),
    "Infinity": (b'{"purpose": Infinity}', "json_not_a_number"),
    "-Infinity": (b'{"purpose": -Infinity}', "json_not_a_number"),
    "1e999": (b'{"purpose": 1e999}', "json_not_a_number"),
    "-1e999": (b'{"purpose": [-1e999]}', "json_not_a_number"),
    "an escaped NUL": (b'{"purpose": "lo\\u0000gin"}', "json_nul"),
    "an escaped NUL in a key": (b'{"pur\\u0000pose": "login"}', "json_nul"),
    "a lone high surrogate": (b'{"purpose": "\\ud800"}', "json_nul"),
    "a lone low surrogate": (b'{"purpose": ["\\udc00"]}', "json_nul"),
    "surrogates the wrong way round": (b'{"purpose": "\\udc00\\ud800"}', "json_nul"),
    "33 levels": (DEEP, "json_too_deep"),
    "10,000 levels": (b"[" * 10_000, "json_too_deep"),
    "10,000 levels of objects": (b'{"a":' * 10_000, "json_too_deep"),
}


@pytest.mark.parametrize(("body", "code"), BROKEN.values(), ids=BROKEN.keys())
def test_json_that_is_broken_or_ambiguous_is_refused(unharmed: Unharmed, body: bytes, code: str) -> None:
    unharmed.refuses(unharmed.send(body), 400, code)


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null", b"true", b"[{}]", SHALLOW])
def test_json_that_is_no_object_of_the_right_shape_is_refused(unharmed: Unharmed, body: bytes) -> None:
    unharmed.refuses(unharmed.send(body), 422, "validation_failed")


def test_brackets_inside_strings_are_no_nesting(unharmed: Unharmed) -> None:
    body = json.dumps({"purpose": "login", "phone": "[{" * 15 + '\\"'}).encode()
    unharmed.refuses(unharmed.send(body), 422, "phone_invalid")


@pytest.mark.parametrize(
    "fields",
    [
        {"purpose": "login"},
        {"phone": PHONE},
        {"purpose": "Login", "phone": PHONE},
        {"purpose": "login", "phone": 79161234567},
        {"purpose": "login", "phone": None},
        {"purpose": "login", "phone": [PHONE]},
        {"purpose": "login", "phone": {"e164": PHONE}},
        {"purpose": "login", "phone": ""},
        {"purpose": "login", "phone": PHONE + "0" * 40},
        {"purpose": "login", "phone": PHONE, "locale": "ru/../../x"},
        {"purpose": "login", "phone": PHONE, "locale": "ru\u202e"},
        {"purpose": "login", "phone": PHONE, "client_ip": "not an address"},
        {"purpose": "login", "phone": PHONE, "client_ip": "127.0.0.1/8"},
        {"purpose": "login", "phone": PHONE, "client_ip": PHONE},
        {"purpose": "login", "phone": PHONE, "channel": "pigeon"},
        {"purpose": "login", "phone": PHONE, "invite_code": "7KQ4M-2XD9P-TA3HK"},
        {"purpose": "registration", "phone": PHONE},
    ],
    ids=str,
)
def test_a_field_that_does_not_fit_is_pointed_at_and_not_repeated(
    unharmed: Unharmed, fields: dict[str, Any]
) -> None:
    answer = unharmed.api.post("/v1/verifications", fields)
    problem = unharmed.refuses(answer, 422, "validation_failed")
    assert all(fault["pointer"].startswith("/") and fault["code"] for fault in problem["errors"])
    assert "9161234567" not in answer.text
    assert "7KQ4M" not in answer.text


@pytest.mark.parametrize(
    "name", ["extra", "maxUses", "__proto__", PHONE, "7KQ4M-2XD9P-TA3HK", "a/b~c", "", "é"]
)
def test_an_unknown_field_is_refused_and_named_only_where_it_can_be_a_name(
    unharmed: Unharmed, name: str
) -> None:
    answer = unharmed.api.post("/v1/verifications", login(PHONE) | {name: "x"})
    unharmed.refuses(
        answer, 422, "validation_failed", pointer=f"/{name}" if name.isalpha() and name != "é" else "/?"
    )
    assert "9161234567" not in answer.text
    assert "7KQ4M" not in answer.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_uses", 0),
        ("max_uses", -1),
        ("max_uses", 1.5),
        ("max_uses", "1"),
        ("max_uses", True),
        ("max_uses", 10**30),
        ("max_uses", 1e30),
        ("expires_in", "7 days"),
        ("expires_in", "٧d"),
        ("expires_in", 0),
        ("expires_in", "9999999d"),
        ("expires_in", True),
        ("campaign", "spring sale"),
        ("campaign", "\u200bspring"),
        ("note", "x" * 501),
    ],
    ids=str,
)
def test_a_number_a_span_or_a_name_out_of_range_is_refused(
    unharmed: Unharmed, field: str, value: object
) -> None:
    body = {"issuer_id": unharmed.seed.id, "channel": "link"} | {field: value}
    unharmed.refuses(unharmed.api.post("/v1/invites", body), 422, "validation_failed")


@pytest.mark.parametrize(
    "when",
    [
        "2026-11-22",
        "2026-11-22T12:00:00",
        "2026-13-01T00:00:00Z",
        "2027-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2027-01-01T00:00:00+99:99",
        "２０２７-01-01T00:00:00Z",
        "tomorrow",
        "",
        1,
        PHONE,
    ],
)
def test_a_time_that_is_none_is_refused_without_being_repeated(unharmed: Unharmed, when: object) -> None:
    body = {"member_ids": [unharmed.seed.id], "amount": 1, "reason": "x", "expires_at": when}
    answer = unharmed.api.post("/v1/quota-grants", body)
    problem = unharmed.refuses(answer, 422, "validation_failed", pointer="/expires_at")
    assert not when or str(when) not in json.dumps(problem["errors"])


@pytest.mark.parametrize(
    "where",
    [
        "",
        " ",
        "country",
        "country=",
        "phone=+79161234567",
        "age_days>=999999999999",
        "age_days>=1e308",
        "available=nan",
        "country=RU or country=UA",
        "country=RU and",
        "country=RU;drop table members",
        "score>=٥",
        "state='active'",
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_before_the_store_is_asked(
    unharmed: Unharmed, where: str
) -> None:
    body = {"filter": where, "amount": 1, "reason": "x"}
    unharmed.refuses(unharmed.api.post("/v1/quota-grants", body), 422, "validation_failed")
