"""A lease kept by a thread: it is renewed while the block runs, and its loss is told."""

from __future__ import annotations

import threading

from identity_service.errors import Unavailable
from identity_service.services.lease_keeping import kept

_PATIENCE = 60.0


def test_a_lease_is_renewed_until_the_block_ends() -> None:
    renewed = threading.Semaphore(0)

    def renew() -> bool:
        renewed.release()
        return True

    with kept(renew, every=0.001) as lost:
        assert all(renewed.acquire(timeout=_PATIENCE) for _ in range(3))
    assert not lost.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


def test_a_store_that_is_away_for_a_moment_loses_no_lease_and_another_holder_does() -> None:
    answers = [True, None, None, True, False]

    def renew() -> bool:
        answer = answers.pop(0)
        if answer is None:
            raise Unavailable("the store is away")
        return answer

    with kept(renew, every=0.001) as lost:
        assert lost.wait(_PATIENCE)
    assert answers == []
