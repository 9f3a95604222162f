"""A lease that is kept while one long step runs: a thread renews it, and says when it has been lost.

Without it a step that outlasts the lease hands over to another worker, whose own step outlasts it as well:
nobody ever finishes.  Whoever writes is asked for the lease again in the transaction that writes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from identity_service.errors import Unavailable


@contextmanager
def kept(renew: Callable[[], bool], *, every: float) -> Iterator[threading.Event]:
    """Call `renew` in a thread of its own every so many seconds while the block runs.

    Parameters:
        renew: renews the lease in a transaction of its own; returns whether it is still the caller's.

    Yields:
        What is set as soon as the lease is another's.
    """
    done, lost = threading.Event(), threading.Event()

    def beat() -> None:
        while not done.wait(every):
            try:
                if not renew():
                    lost.set()
                    return
            except Unavailable:
                continue  # the lease may outlive that: the next turn asks again

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        done.set()
        thread.join()
