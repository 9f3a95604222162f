"""Ids that sort, instants that have a zone, chance that is uniform."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_service.ports import (
    ID_LENGTH,
    SECOND,
    Ids,
    Instant,
    SystemClock,
    SystemEntropy,
    id_floor,
    instant_of,
    rfc3339,
)


class _Times:
    """A clock that tells the given instants, one a call."""

    def __init__(self, *times: Instant) -> None:
        self._times = list(times)

    def now(self) -> Instant:
        return self._times.pop(0)


def test_ids_sort_by_creation_even_when_the_clock_goes_backwards() -> None:
    times = [1_000_000, 1_000_001, 500, 1_000_001, 2_000_000, 0, 2_000_000]
    ids = Ids(_Times(*times), SystemEntropy())
    made = [ids.new("mem") for _ in times]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


@given(st.lists(st.integers(1, 2**60 - 1), min_size=2, max_size=20, unique=True))
def test_ids_of_several_processes_sort_as_their_clocks(times: list[int]) -> None:
    made = [(at, Ids(_Times(at), SystemEntropy()).new("inv")) for at in times]
    assert [text for _, text in sorted(made)] == sorted(text for _, text in made)


def test_ids_have_one_length_one_prefix_and_one_alphabet() -> None:
    made = Ids(SystemClock(), SystemEntropy()).new("ver")
    prefix, _, rest = made.partition("_")
    assert (prefix, len(rest)) == ("ver", ID_LENGTH)
    assert set(rest) <= set("0123456789abcdefghjkmnpqrstvwxyz")


def test_threads_never_get_the_same_id() -> None:
    ids = Ids(SystemClock(), SystemEntropy())
    with ThreadPoolExecutor(8) as pool:
        made = [
            one
            for batch in pool.map(lambda _: [ids.new("evt") for _ in range(500)], range(8))
            for one in batch
        ]
    assert len(set(made)) == 4000


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9000, 1, 1)), st.integers(-840, 840))  # noqa: DTZ001
def test_an_instant_is_the_same_moment_in_every_zone(naive: datetime, minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert instant_of(moment) == instant_of(moment.astimezone(UTC))
    told = datetime.fromisoformat(rfc3339(instant_of(moment)))
    assert abs(told - moment) < timedelta(milliseconds=1)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        instant_of(datetime(2026, 11, 22))  # noqa: DTZ001


def test_the_api_writes_utc_milliseconds() -> None:
    assert rfc3339(1_800_000_000 * SECOND + 1_999) == "2027-01-15T08:00:00.001Z"


def test_one_time_codes_are_uniform_over_all_digits() -> None:
    entropy = SystemEntropy()
    codes = [f"{entropy.below(10**6):06d}" for _ in range(20_000)]
    for at in range(6):
        counts = Counter(code[at] for code in codes)
        assert all(1700 < counts[digit] < 2300 for digit in "0123456789"), counts


def test_the_floor_of_an_instant_parts_the_ids_before_it_from_those_after() -> None:
    ids = Ids(_Times(1_000_000, 1_000_001, 1_000_002), SystemEntropy())
    before, at, after = (ids.new("msg") for _ in range(3))
    assert before < id_floor("msg", 1_000_001) < at < after
