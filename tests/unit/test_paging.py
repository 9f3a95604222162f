"""Cursors: read back as they were written, refused when they are not ours."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_service.errors import Refused
from identity_service.services.paging import Paging, page_of, read_cursor, write_cursor


@given(st.from_regex(r"[A-Za-z0-9_:.-]{1,80}", fullmatch=True))
def test_a_cursor_is_read_back(key: str) -> None:
    assert read_cursor(write_cursor(key)) == key


@given(st.text(max_size=120))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    refusals: list[str] = []
    try:
        assert 1 <= len(read_cursor(text)) <= 80
    except Refused as refused:
        refusals.append(refused.code)
    assert refusals in ([], ["cursor_invalid"])


@pytest.mark.parametrize("raw", [b"", b"' or 1=1 --", b"mem_1\x00", b"x" * 81, "é".encode()])
def test_a_well_formed_cursor_with_a_foreign_key_is_refused(raw: bytes) -> None:
    cursor = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    with pytest.raises(Refused, match="cursor_invalid"):
        read_cursor(cursor)


def test_a_page_asks_for_one_row_more_and_does_not_show_it() -> None:
    rows = [SimpleNamespace(id=f"mem_{n}") for n in range(4)]
    page = page_of(rows, Paging(limit=3))
    assert [row.id for row in page.data] == ["mem_0", "mem_1", "mem_2"]
    assert page.next_cursor is not None
    assert read_cursor(page.next_cursor) == "mem_2"
    assert page_of(rows, Paging(limit=4)).next_cursor is None
    assert not page_of([], Paging(limit=3)).has_more
