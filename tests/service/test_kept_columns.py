"""What was read is kept for the next process, which reads only what came since, or everything if in doubt."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import numpy as np
import pytest

from identity_service.config import Settings
from identity_service.ports import DAY, HOUR
from identity_service.services import kept_columns
from identity_service.services.kept_columns import KeptColumns
from identity_service.services.report_columns import NOTHING, Snapshot
from identity_service.services.reports import Reports
from tests.service.test_reports import a_busy_day, read, same
from tests.support.world import World


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "columns"


@pytest.fixture
def seed(world: World) -> str:
    return str(world.seed(quota=50).id)


@pytest.fixture
def lived(world: World, seed: str, path: Path) -> World:
    """A network that another process has read and kept, hours ago."""
    a_busy_day(world, world.api(), seed)
    world.clock.advance(2 * HOUR)
    reading(world, path)
    world.clock.advance(5 * HOUR)
    return world


def reading(world: World, path: Path) -> tuple[Snapshot, int]:
    """Read in a process of its own; also return how many rows were read."""
    rows: list[int] = []
    found = Reports(world.services.store, KeptColumns(path, least=0)).read_now(rows.append)
    return found, sum(rows)


def everything(world: World) -> int:
    """How many rows there are to read."""
    rows: list[int] = []
    Reports(world.services.store).read_now(rows.append)
    return sum(rows)


def test_the_next_process_reads_only_what_came_since(lived: World, seed: str, path: Path) -> None:
    a_busy_day(lived, lived.api(), seed)
    found, rows = reading(lived, path)
    same(found, read(lived))
    # The bans are read each time, being few.
    assert 0 < rows < everything(lived)
    assert found.row_of(seed) == 0


def test_a_file_in_which_nothing_is_new_is_used_as_it_lies(lived: World, path: Path) -> None:
    kept, first = KeptColumns(path).load(), path.stat()
    found, rows = reading(lived, path)
    same(found, read(lived))
    assert rows == len(found.facts.bans)
    assert not found.facts.invites.issued.flags.owndata
    assert kept.facts.invites.issued.tolist() == found.facts.invites.issued.tolist()
    assert path.stat().st_ino == first.st_ino


def test_only_its_owner_reads_the_file_and_it_tells_no_phone(lived: World, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    content = path.read_bytes()
    assert b"mem_" in content
    for phone in lived.services.providers["inbox"].messages(limit=100):  # type: ignore[attr-defined]
        assert phone["to"].lstrip("+").encode() not in content


def cut(content: bytearray) -> bytearray:
    return content[:-64]


def longer(content: bytearray) -> bytearray:
    return content + bytes(64)


def another_format(content: bytearray) -> bytearray:
    return content.replace(b'"format": 1', b'"format": 0')


def other_columns(content: bytearray) -> bytearray:
    return content.replace(b'"members.joined": "<i8"', b'"members.joined": "<i4"')


def no_description(content: bytearray) -> bytearray:
    return content.replace(b'{"format"', b'["format"')


def nothing_of_ours(content: bytearray) -> bytearray:
    return bytearray(b"PK" + content[2:])


def empty(_: bytearray) -> bytearray:
    return bytearray()


def one_member_fewer(content: bytearray) -> bytearray:
    return content.replace(b'"members.country": 4', b'"members.country": 3')


SPOILED = (
    cut,
    longer,
    another_format,
    other_columns,
    no_description,
    nothing_of_ours,
    empty,
    one_member_fewer,
)


def test_a_file_that_is_not_as_it_was_written_is_not_believed(lived: World, path: Path) -> None:
    content, rows = path.read_bytes(), everything(lived)
    for spoil in SPOILED:
        spoiled = spoil(bytearray(content))
        assert spoiled != content, spoil
        path.write_bytes(spoiled)
        assert reading(lived, path)[1] == rows, spoil
        assert KeptColumns(path).load() is not NOTHING, spoil  # and it was written anew
    same(reading(lived, path)[0], read(lived))


def test_a_row_that_points_outside_its_table_is_not_believed(
    lived: World, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns, snapshot = kept_columns._columns, read(lived)
    for name in ("members.inviter", "invites.issuer", "entries.kind", "member_places.rows"):

        def wrong(snapshot: Snapshot, name: str = name) -> kept_columns.Columns:
            found = columns(snapshot)
            return found | {name: np.full(len(found[name]), 99, dtype=np.int32)}

        with monkeypatch.context() as patch:
            patch.setattr(kept_columns, "_columns", wrong)
            kept_columns._write(path, snapshot)
        assert KeptColumns(path).load() is NOTHING, name
    same(reading(lived, path)[0], read(lived))


SET_BACK = {
    "a journal row is gone": "DELETE FROM journal WHERE id = (SELECT max(id) FROM journal)",
    "an invite has not moved yet": "UPDATE invites SET moved_at = moved_at - 1 WHERE moved_at IS NOT NULL",
    "a sanction is gone": "DELETE FROM sanctions",
}


@pytest.mark.parametrize("what", SET_BACK)
def test_a_store_that_was_set_back_is_read_anew(lived: World, path: Path, what: str) -> None:
    lived.transact(lambda tx: tx.cursor.execute(SET_BACK[what]))
    found, rows = reading(lived, path)
    same(found, read(lived))
    assert rows == everything(lived)
    assert reading(lived, path)[1] < rows  # what was read anew was kept instead


def test_a_process_that_runs_on_sees_that_its_store_was_set_back(lived: World, path: Path) -> None:
    known = Reports(lived.services.store)
    known.read_now()
    lived.transact(lambda tx: tx.cursor.execute(SET_BACK["a sanction is gone"]))
    lived.clock.advance(DAY)
    assert len(known.read_now().facts.bans) == 0


def test_columns_of_a_later_day_are_not_believed(lived: World, path: Path) -> None:
    lived.clock.ahead -= DAY
    assert reading(lived, path)[1] == everything(lived)


def test_members_who_were_imported_meanwhile_are_found(lived: World, path: Path) -> None:
    lived.clock.ahead -= 30 * DAY
    lived.seed()
    lived.clock.advance(31 * DAY)
    same(reading(lived, path)[0], read(lived))
    same(reading(lived, path)[0], read(lived))


def test_the_file_is_written_anew_when_much_is_new(lived: World, seed: str, path: Path) -> None:
    first = path.stat().st_ino
    for _ in range(2):
        a_busy_day(lived, lived.api(), seed)
    reading(lived, path)
    assert path.stat().st_ino != first
    assert reading(lived, path)[1] < everything(lived)


def test_writers_and_readers_at_once_see_whole_files(lived: World, path: Path) -> None:
    """Race: two processes keep what they read while others load it."""
    snapshot = read(lived)
    ended = threading.Event()
    faults: list[object] = []

    def write() -> None:
        try:
            for _ in range(20):
                kept_columns._write(path, snapshot)
        except Exception as error:  # noqa: BLE001 - told below
            faults.append(error)
        ended.set()

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    while not ended.is_set():
        found = KeptColumns(path).load()
        if found is NOTHING or found.member_ids.tolist() != snapshot.member_ids.tolist():
            faults.append(found)
    for writer in writers:
        writer.join()
    assert faults == []
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_where_nothing_can_be_written_nothing_is_kept(lived: World, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    same(reading(lived, blocked / "columns")[0], read(lived))
    same(Reports(lived.services.store, KeptColumns(None)).read_now(), read(lived))


def test_few_rows_are_not_kept(lived: World, tmp_path: Path) -> None:
    Reports(lived.services.store, KeptColumns(tmp_path / "columns")).read_now()
    assert not (tmp_path / "columns").exists()


def test_each_store_has_a_file_of_its_own(tmp_path: Path) -> None:
    def kept(url: str, folder: str = "") -> Path | None:
        return Settings(database_url=url, columns_dir=folder).columns_path

    beside = kept(f"sqlite:///{tmp_path}/identity.sqlite3")
    assert beside is not None
    assert beside.parent == tmp_path
    one, other = kept("postgresql://ada:secret@host/one"), kept("postgresql://ada:secret@host/other")
    assert one is not None
    assert one != other
    assert one.parent == Path("var")
    assert one == kept("postgresql://bo@host/one")
    assert kept("postgresql://host/one", str(tmp_path)) == tmp_path / one.name
    assert kept("postgresql://host/one", "off") is None
    assert kept("sqlite://") is None
