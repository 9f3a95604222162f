"""No prepared statement walks through a table that grows: each finds its rows by an index.

SQLite tells its plan without any data.  PostgreSQL's planner looks at sizes and would scan empty tables;
the indexes are the same.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_statements import DIALECTS, STATEMENTS

# What reads everything on purpose: an operator asked for it, and nothing waits.
WHOLE_TABLES = {
    "clients._LIST": "there are few clients",
    "dashboard_access._LIST": "the newest few, by the primary key",
    "population._HOW_MANY": "`identity policy simulate` reads everybody anyway",
    "members._MISCOUNTED": "`identity tree check`",
    "prices._ALL": "some hundred rows that an operator imported; read twice a minute",
    "routing._ALL": "a row a provider and country; read once a second where messages are routed",
    "trust_rows._FIRST_JOINED": "its first row is all that is read",
    "report_columns._CAMPAIGNS": "campaigns are few",
    "report_columns._COUNT": "a snapshot is compared with the store, behind the answers",
    "report_columns._COUNT_FEW": "stops at the limit that it is given",
    "rotation._UNINDEXED": "a key rotation",
    "rotation._DROP_INDEX": "a key rotation",
}
# An index that holds only the rows which wait for something: walking through it is finding them.
_WAITING = re.compile(
    # The rows that a subquery or a recursion has found already, and
    r"SCAN (anon_1|last|way|up|below)$|SCAN \w+ USING (COVERING )?INDEX "
    r"(ix_members_unscored|ix_messages_dead|ix_guard_decisions_in_force|ix_journal_new|"
    r"uq_invite_holds_one_a_phone|uq_recoveries_one_open)"
)


@pytest.fixture(scope="module")
def empty(sqlite_template: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"file:{sqlite_template}?mode=ro", uri=True)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    "name", sorted(set(STATEMENTS) - set(WHOLE_TABLES) - {"guard._LOCK", "guard._TURN", "idempotency._LOCK"})
)
def test_a_statement_finds_its_rows_by_an_index(empty: sqlite3.Connection, name: str) -> None:
    sql = STATEMENTS[name].on(DIALECTS["sqlite"]).sql
    values = dict.fromkeys(re.findall(r":(\w+)", sql), 1)
    plan = [row[3] for row in empty.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    scans = [step for step in plan if step.startswith("SCAN") and "CONSTANT" not in step]
    assert [step for step in scans if not _WAITING.match(step)] == []
