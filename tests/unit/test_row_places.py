"""Ids become rows, and rows that were read fall into their places among those that were known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity_service.services import row_places
from identity_service.services.row_places import Labels, Merge, Places

NAMES = st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=28, max_size=28).map(
    lambda chance: f"mem_{chance}".encode()
)
ROWS = st.lists(st.tuples(NAMES, st.integers(0, 20)), max_size=12, unique_by=lambda row: row[0])


def column(values: list[Any]) -> Any:
    return np.array(values, dtype=np.int64)


def ids_of(rows: list[tuple[bytes, int]]) -> Any:
    return np.array([name for name, _ in rows], dtype="S32")


@settings(max_examples=60, deadline=None)
@given(first=ROWS, later=st.lists(ROWS, max_size=4))
def test_rows_stand_by_time_and_then_as_they_were_met(
    first: list[tuple[bytes, int]], later: list[list[tuple[bytes, int]]]
) -> None:
    known: list[tuple[bytes, int]] = []
    places, at, named = Places(ids_of([])), column([]), np.zeros(0, dtype=np.int32)
    for turn, told in enumerate([first, *later]):
        met = dict(known)
        rows = [(name, met.get(name, when)) for name, when in told]
        # Whatever is read again stands there twice: once by its id, once because it moved.
        read = rows if turn == 0 else rows + [row for row in rows if row[1] % 2]
        merge = Merge(places, at, ids_of(read), column([when for _, when in read]), first=turn == 0)
        before = [known[row][0] for row in named.tolist()]
        known = sorted(known + [row for row in rows if row[0] not in met], key=lambda row: row[1])
        at = merge.column(at, column([when for _, when in read]))
        named = merge.followed(named)
        places = merge.places
        assert merge.ids.tolist() == [name for name, _ in known]
        assert at.tolist() == [when for _, when in known]
        assert [known[row][0] for row in named.tolist()] == before
        assert places.find(merge.ids).tolist() == list(range(len(known)))
        assert places.find(np.array([b"", b"mem_nobody"], dtype="S32")).tolist() == [-1, -1]
        if known:
            named = np.append(named, np.int32(len(known) - 1))


def test_many_late_ids_are_put_in_order_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_places, "_LEAST_REBUILT", 10)
    ids = np.array([f"mem_{number:028d}" for number in range(200)], dtype="S32")
    places = Places(ids[:80])
    for end in (85, 90, 120, 121, 200):
        places = places.extended(ids[:end], 75)
        assert places.find(ids).tolist() == [*range(end), *[-1] * (200 - end)]
        assert places.whole().find(ids[:end]).tolist() == list(range(end))


def test_a_column_in_which_nothing_is_new_is_the_very_same() -> None:
    ids, at = ids_of([(b"mem_a", 1), (b"mem_b", 2)]), column([1, 2])
    merge = Merge(Places(ids), at, ids[1:], at[1:], first=False)
    assert merge.column(at, at[1:]) is at
    assert merge.ids is ids
    changed = merge.column(at, column([7]))
    assert (changed.tolist(), at.tolist()) == ([1, 7], [1, 2])


def test_labels_are_numbered_as_they_are_met() -> None:
    labels = Labels(("SE",))
    assert labels.of(["RU", "", None, "SE", "RU"]).tolist() == [1, -1, -1, 0, 1]
    assert labels.names() == ("SE", "RU")
