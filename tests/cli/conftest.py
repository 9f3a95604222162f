"""The command line against each store: the real commands, in this process, beside the real service."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from click.testing import CliRunner, Result

from identity_service.cli.root import identity
from tests.support.world import World


@dataclass
class Terminal:
    """Runs commands with the settings of one test."""

    url: str
    env: dict[str, str] = field(default_factory=dict)

    def __call__(self, *args: str, code: int = 0, **env: str) -> Result:
        """Run `identity ARGS`; it must end with `code`."""
        settings = {"IDENTITY_DATABASE_URL": self.url, "IDENTITY_OPERATOR": "olga"} | self.env | env
        result = CliRunner().invoke(identity, list(args), env=settings, prog_name="identity")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def json(self, *args: str, code: int = 0) -> Any:
        """Run a command with --json; return what it printed."""
        return json.loads(self(*args, "--json", code=code).stdout)

    def lines(self, *args: str, code: int = 0) -> list[Any]:
        """Run a command that prints an object a line."""
        return [json.loads(line) for line in self(*args, "--json", code=code).stdout.splitlines()]


@pytest.fixture
def run(store_url: str) -> Terminal:
    return Terminal(store_url)


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world()
