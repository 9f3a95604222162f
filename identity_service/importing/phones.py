"""The phones of an import, read many at once, in processes of their own where there are many.

Judging a number takes fifty times as long as everything else that is done to its row.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from identity_service.importing.faults import Fault
from identity_service.importing.sheet import KINDS
from sms.numbers import NO_COUNTRY, NumberPolicy, NumberRefused, Refusal, parse

Columns = dict[str, NDArray[Any]]
_FAULTS: Final = {
    Refusal.MALFORMED: Fault.PHONE_MALFORMED,
    Refusal.UNASSIGNED: Fault.PHONE_UNASSIGNED,
    Refusal.KIND_REFUSED: Fault.PHONE_KIND_REFUSED,
}
_KIND_AT: Final = {kind: at for at, kind in enumerate(KINDS)}
_MOST_PROCESSES: Final = 8


def read_phones(raw: Sequence[str | None], policy: NumberPolicy) -> Columns:
    """Return the columns phone, country, kind and fault of some rows; None stands where no phone is."""
    size = len(raw)
    read: Columns = {
        "phone": np.zeros(size, dtype=np.uint64),
        "country": np.zeros(size, dtype=np.uint16),
        "kind": np.zeros(size, dtype=np.uint8),
        "fault": np.zeros(size, dtype=np.uint8),
    }
    for at, text in enumerate(raw):
        if text is None:
            continue
        try:
            number = parse(text, policy)
        except NumberRefused as refused:
            read["fault"][at] = _FAULTS[Refusal(refused.code)]
            continue
        read["phone"][at] = int(number.e164[1:])
        if number.country != NO_COUNTRY:
            read["country"][at] = ord(number.country[0]) << 8 | ord(number.country[1])
        read["kind"][at] = _KIND_AT[number.kind]
    return read


class PhoneReaders:
    """Reads batches of phones: the first here, the others in a pool, each where a core is free."""

    def __init__(self, policy: NumberPolicy) -> None:
        self._policy = policy
        self._pool: ProcessPoolExecutor | None = None
        self._batches = 0

    def submit(self, raw: Sequence[str | None]) -> Future[Columns]:
        if any(raw):
            self._batches += 1
        if self._batches <= 1 or not any(raw):
            done: Future[Columns] = Future()
            done.set_result(read_phones(raw, self._policy))
            return done
        if self._pool is None:
            cores = min(
                len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2, _MOST_PROCESSES
            )
            # Spawned, not forked: a fork would take along open connections.
            self._pool = ProcessPoolExecutor(cores, mp_context=get_context("spawn"))
        return self._pool.submit(read_phones, raw, self._policy)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
