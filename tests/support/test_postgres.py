"""The server of the tests: that it is real, that it is never silently missing, and that it goes away."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.engine import make_url

from tests.support import postgres
from tests.support.postgres_programs import OLDEST_MAJOR, PostgresUnavailable, Source, find_programs


def connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    started = postgres.start()
    yield started
    started.stop()


def named(word: str) -> str:
    """A name that needs quotes, and that no worker beside this one uses on a given server."""
    return f"Self-test-{os.getpid()}-{word}"


def programs_that_say(answer: str, directory: Path) -> None:
    for name in ("initdb", "postgres"):
        program = directory / name
        program.write_text(f"#!/bin/sh\n{answer}\n")
        program.chmod(0o755)


def test_the_server_is_the_release_that_it_is_described_as(server: postgres.Server) -> None:
    with connect(server.url) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    assert row is not None
    assert server.description.startswith(f"PostgreSQL {row[0].split()[0]}, ")


def test_the_server_admits_nobody_without_its_password(server: postgres.Server) -> None:
    if os.environ.get("TEST_DATABASE_URL"):
        pytest.skip("a given server has rules of its own")
    without = make_url(server.url).set(password="guess").render_as_string(hide_password=False)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(without)


def test_a_database_made_of_a_template_holds_its_rows_and_keeps_its_own(server: postgres.Server) -> None:
    template = postgres.create_database(server.url, named("template"))
    with connect(template) as connection:
        connection.execute("CREATE TABLE noted AS SELECT 'here' AS word")
    copy = postgres.create_database(server.url, named("copy"), template=named("template"))
    try:
        with connect(copy) as connection:
            connection.execute("INSERT INTO noted VALUES ('there')")
        with connect(template) as connection:
            assert connection.execute("SELECT word FROM noted").fetchall() == [("here",)]
    finally:
        postgres.drop_database(server.url, named("copy"))
        postgres.drop_database(server.url, named("template"))


def test_a_second_database_of_one_name_is_refused(server: postgres.Server) -> None:
    postgres.create_database(server.url, named("twice"))
    try:
        with pytest.raises(errors.DuplicateDatabase):
            postgres.create_database(server.url, named("twice"))
    finally:
        postgres.drop_database(server.url, named("twice"))


def test_a_database_is_dropped_under_an_open_connection(server: postgres.Server) -> None:
    url = postgres.create_database(server.url, named("in-use"))
    with connect(url) as connection:
        postgres.drop_database(server.url, named("in-use"))
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        connect(url)


def test_dropping_what_is_not_there_does_nothing(server: postgres.Server) -> None:
    postgres.drop_database(server.url, named("never-made"))


def test_a_stopped_server_answers_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    server = postgres.start()
    server.stop()
    server.stop()
    with pytest.raises(psycopg.OperationalError):
        connect(server.url)


def test_the_server_and_its_data_go_away_with_a_killed_test_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    program = (
        "import time; from tests.support import postgres; "
        "print(postgres.start().url, flush=True); time.sleep(60)"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    try:
        assert run.stdout is not None
        url = run.stdout.readline().strip()
        with connect(url) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
        assert row is not None
        data = Path(row[0])
        assert data.is_dir()
    finally:
        run.send_signal(signal.SIGKILL)
        run.communicate()

    deadline = time.monotonic() + 20
    while data.parent.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not data.parent.exists()
    with pytest.raises(psycopg.OperationalError):
        connect(url)


def test_a_worker_attaches_to_the_server_of_the_run_and_does_not_end_it(
    server: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "start", lambda: server)
    monkeypatch.setenv("TEST_RUN_POSTGRES_URL", "")
    monkeypatch.setenv("TEST_RUN_POSTGRES_DESCRIPTION", "")
    cleanups: list[object] = []
    controller = cast("pytest.Config", SimpleNamespace(add_cleanup=cleanups.append))
    worker = cast("pytest.Config", SimpleNamespace(workerinput={}))

    started = postgres.start_for_run(controller)
    attached = postgres.start_for_run(worker)
    attached.stop()

    assert (attached.url, attached.description) == (started.url, started.description)
    assert cleanups == [server.stop]
    connect(attached.url).close()


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("postgresql://nobody:x@127.0.0.1:1/postgres", "does not answer"),
        ("postgres://nobody:x@127.0.0.1:1/postgres", "does not answer"),
        ("sqlite:///some.db", "names sqlite"),
        ("no url at all", "not a URL"),
    ],
)
def test_a_given_server_that_cannot_be_used_is_an_error_and_no_skip(
    given: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", given)
    with pytest.raises(PostgresUnavailable, match=complaint):
        postgres.start()


def test_a_given_role_that_may_not_create_databases_is_an_error(
    server: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"self_test_reader_{os.getpid()}"
    with connect(server.url) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reads'")
    try:
        reader = make_url(server.url).set(username=role, password="reads")
        monkeypatch.setenv("TEST_DATABASE_URL", reader.render_as_string(hide_password=False))
        with pytest.raises(PostgresUnavailable, match="may not create databases"):
            postgres.start()
    finally:
        with connect(server.url) as connection:
            connection.execute(f"DROP ROLE {role}")


def test_a_given_server_is_used_by_its_url_and_left_running(
    server: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = server.url.replace("postgresql+psycopg://", "postgresql://")
    monkeypatch.setenv("TEST_DATABASE_URL", plain)
    given = postgres.start()
    given.stop()
    assert given.url == server.url
    assert given.description.endswith("given by TEST_DATABASE_URL")
    connect(given.url).close()


def test_programs_on_the_path_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs_that_say("echo 'postgres (PostgreSQL) 99.1 (Some build 1)'", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("TEST_POSTGRES", raising=False)
    found = find_programs()
    assert (found.directory, found.source, found.version) == (tmp_path, Source.INSTALLED, "99.1")
    assert found.description == "PostgreSQL 99.1, local initdb"


@pytest.mark.parametrize("answer", [f"echo 'postgres (PostgreSQL) {OLDEST_MAJOR - 1}.20'", "exit 1"])
def test_programs_that_are_too_old_or_broken_are_passed_over(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs_that_say(answer, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("TEST_POSTGRES", raising=False)
    try:
        found = find_programs()
    except PostgresUnavailable:
        return
    assert found.directory != tmp_path


def test_an_unknown_kind_of_programs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_POSTGRES", "borrowed")
    with pytest.raises(PostgresUnavailable, match="known are installed, packaged"):
        find_programs()
