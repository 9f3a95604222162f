"""A visitor of the dashboard: signed in by a link, with a cookie jar and the forms' token."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from identity_service.services.dashboard_access import Role
from tests.support.world import World


@dataclass
class Visitor:
    """A browser without scripts."""

    http: FlaskClient
    language: str = "en"

    def get(self, path: str = "", code: int = 200) -> TestResponse:
        answer = self.http.get(f"/dashboard{path}", headers={"Accept-Language": self.language})
        assert answer.status_code == code, answer.text
        return answer

    def post(self, path: str, fields: dict[str, str] | None = None, code: int = 303) -> TestResponse:
        """Send a form as a page of ours would."""
        found = re.search(r'name="form_token" value="(\w+)"', self.get().text)
        assert found is not None
        answer = self.http.post(f"/dashboard{path}", data={"form_token": found[1]} | (fields or {}))
        assert answer.status_code == code, answer.text
        return answer


def sign_in(world: World, role: Role = Role.ADMIN) -> Visitor:
    link = world.transact(lambda tx: world.services.dashboard.make_link(tx, role, "olga"))
    http = world.app.test_client()
    answer = http.post("/dashboard/sign-in", data={"token": link.token})
    assert answer.status_code == 303, answer.text
    return Visitor(http=http)


@pytest.fixture
def admin(world: World) -> Visitor:
    return sign_in(world)


@pytest.fixture
def growth(world: World) -> Visitor:
    return sign_in(world, Role.GROWTH)


@pytest.fixture
def visit(world: World) -> Callable[[Role], Visitor]:
    return lambda role: sign_in(world, role)
