"""JSON read strictly: one reading or a refusal with a stable code."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity_service.api.strict_json import MAX_DEPTH, loads
from identity_service.errors import Refused


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "json_malformed"),
        (b"{", "json_malformed"),
        (b"{'a': 1}", "json_malformed"),
        (b'{"a": 1,}', "json_malformed"),
        (b'{"a": 1} x', "json_malformed"),
        (b'\xef\xbb\xbf{"a": 1}', "json_malformed"),
        (b'{"a": "\xff"}', "json_malformed"),
        (b'{"a": "\x00"}', "json_malformed"),
        (b"1" * 5000, "json_malformed"),
        (b'{"a": 1, "a": 1}', "json_duplicate_key"),
        (b'{"b": [{"a": 1, "\\u0061": 2}]}', "json_duplicate_key"),
        (b'{"a": NaN}', "json_not_a_number"),
        (b'{"a": -Infinity}', "json_not_a_number"),
        (b'{"a": 1e999}', "json_not_a_number"),
        (b'{"a": "x\\u0000y"}', "json_nul"),
        (b'{"x\\u0000": 1}', "json_nul"),
        (b'{"a": ["\\ud800"]}', "json_nul"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "json_too_deep"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "json_too_deep"),
        (b"[" * 30_000, "json_too_deep"),
    ],
    ids=repr,
)
def test_what_has_two_readings_or_cannot_be_stored_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(Refused) as caught:
        loads(body)
    assert caught.value.code == code


def test_depth_is_counted_outside_strings_only() -> None:
    brackets = '["[' + "{[" * 50 + '\\"]"]'
    assert loads(brackets.encode()) == json.loads(brackets)
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert loads(deepest) == json.loads(deepest)
    assert loads(b"[" + b"[]," * 100 + b"[]]") == [[]] * 101


def test_a_surrogate_pair_is_one_character() -> None:
    assert loads(b'"\\ud83d\\ude00"') == "\U0001f600"


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            _TEXT,
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None)  # of a busy machine nothing is asked
@given(_json)
def test_ordinary_json_is_read_as_it_was_written(value: Any) -> None:
    assert loads(json.dumps(value).encode()) == value
    assert loads(json.dumps(value, ensure_ascii=False).encode()) == value


@settings(deadline=None)  # of a busy machine nothing is asked
@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\u0an1-.eE ', max_size=80).map(str.encode))
def test_no_bytes_make_the_reader_fail_otherwise(body: bytes) -> None:
    refusals: list[str] = []
    try:
        loads(body)
    except Refused as refused:
        refusals.append(refused.code)
    assert all(code.startswith("json_") for code in refusals)
