"""What every command shares: who acts, how output is wanted, and the service, opened at its first use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

import rich_click as click

from identity_service.config import Settings, load_settings
from identity_service.container import Container, build, open_engine
from identity_service.db import migrate
from identity_service.db.store import Store, Tx
from identity_service.errors import Actor, Refused, Unavailable
from identity_service.ports import SystemClock

T = TypeVar("T")
_LONGEST_NAME: Final = 100


@dataclass
class Session:
    """One run of the command line.

    Attributes:
        as_json: data is wanted as JSON.
        operator: the name given by `--as`.
    """

    as_json: bool = False
    operator: str | None = None

    @cached_property
    def settings(self) -> Settings:
        """Raises: Misconfigured."""
        return load_settings()

    @cached_property
    def actor(self) -> Actor:
        name = self.operator or self.settings.operator_name
        if not name.isprintable() or not 1 <= len(name) <= _LONGEST_NAME:
            raise click.UsageError(f"--as is a name of at most {_LONGEST_NAME} printable characters.")
        return Actor(kind="operator", name=name)

    @cached_property
    def store(self) -> Store:
        """The store, migrated or not.

        Raises:
            Misconfigured, Unavailable.
        """
        store = Store(open_engine(self.settings), SystemClock())
        store.query(self.actor, lambda _: None)
        return store

    @cached_property
    def services(self) -> Container:
        """The whole service.

        Raises:
            Misconfigured, Unavailable: also where the database is not migrated.
        """
        if migrate.is_behind(self.store.engine):
            raise Unavailable("the database is not migrated; run `identity db upgrade`")
        return build(self.settings, self.store.engine)

    def do(self, use_case: Callable[[Tx], T]) -> T:
        """Run a use case in one transaction, in the operator's name."""
        return self.services.store.transact(self.actor, use_case)

    def read(self, read: Callable[[Tx], T]) -> T:
        return self.services.store.query(self.actor, read)

    def rehearse(self, use_case: Callable[[Tx], T]) -> T:
        """Return what a use case would, and keep nothing of it: the work is done and undone.

        Raises:
            Refused: as the use case would.
        """

        def undone(tx: Tx) -> None:
            raise _Undone(use_case(tx))

        try:
            self.do(undone)
        except _Undone as done:
            result: T = done.result
            return result
        raise AssertionError("unreachable")

    def run(self, use_case: Callable[[Tx], T], *, dry_run: bool) -> T:
        return self.rehearse(use_case) if dry_run else self.do(use_case)

    def close(self) -> None:
        """Let go of every connection: before a fork, and at the end."""
        if "store" in self.__dict__:
            self.store.engine.dispose()


class _Undone(Refused):
    """Carries a result out of a transaction that is rolled back."""

    def __init__(self, result: object) -> None:
        super().__init__("dry_run", "Nothing was changed.")
        self.result: Any = result


pass_session = click.make_pass_decorator(Session, ensure=True)
