"""Bring a database to the newest version, and tell whether it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from identity_service.db.tables import metadata

MIGRATIONS: Final = Path(__file__).with_name("migrations")
_LOCK: Final = 0x1D_E47  # any number that nobody else locks


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def newest() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def version(engine: Engine) -> str | None:
    """Return the revision that a database is at; None where it has never been migrated."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def is_behind(engine: Engine) -> bool:
    """Whether this release needs migrations that the database has not had.

    A database that a newer release has migrated is not behind: migrations suit the running release, so that
    processes of both may serve while one replaces the other.
    """
    at = version(engine)
    if at is None:
        return True
    scripts = ScriptDirectory.from_config(_config())
    known = {script.revision for script in scripts.walk_revisions()}
    return at in known and at != scripts.get_current_head()


def upgrade(engine: Engine) -> str:
    """Migrate to the newest version; two that start at once take turns.  Returns the revision."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _LOCK})
            connection.commit()
        else:
            connection.execute(text("BEGIN IMMEDIATE"))
        try:
            command.upgrade(_config(connection), "head")
            connection.commit()
        finally:
            if engine.dialect.name == "postgresql":
                connection.rollback()
                connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": _LOCK})
                connection.commit()
    return newest()


def differences(engine: Engine) -> list[str]:
    """Return how the database's schema differs from `tables.py`; empty where it does not."""
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    return [str(item) for item in found]
