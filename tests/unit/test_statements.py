"""Every prepared statement is valid on both dialects: none is found wrong first in production."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.sqlite import pysqlite

import identity_service.services
from identity_service.db.store import Statement


def _statements() -> Iterator[tuple[str, Statement]]:
    for module in pkgutil.iter_modules(identity_service.services.__path__):
        loaded = importlib.import_module(f"identity_service.services.{module.name}")
        for name, value in vars(loaded).items():
            found = value.items() if isinstance(value, dict) else [("", value)]
            for key, statement in found:
                if isinstance(statement, Statement):
                    yield f"{module.name}.{name}{f'[{key}]' if key != '' else ''}", statement


STATEMENTS = dict(_statements())
DIALECTS = {
    "sqlite": pysqlite.dialect(paramstyle="named"),
    "postgresql": postgresql.psycopg.dialect(),  # type: ignore[no-untyped-call]
}


def test_the_statements_are_found() -> None:
    assert len(STATEMENTS) > 80
    assert {"budgets._TAKE[1]", "invites._ADD", "journal._NUMBER"} <= set(STATEMENTS)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_compiles_with_values_by_name(name: str, dialect: str) -> None:
    compiled = STATEMENTS[name].on(DIALECTS[dialect])
    assert compiled.sql
    # A value that SQLAlchemy expands or renders late would reach the driver as a placeholder of its own.
    assert "POSTCOMPILE" not in compiled.sql
    assert "%%(" not in compiled.sql
