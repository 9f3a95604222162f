"""A caller whose every request is refused well and changes nothing."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect, text
from werkzeug.test import TestResponse

from identity_service.api.problems import KINDS
from tests.support.world import World

PHONE = "+79161234567"
JSON = "application/json"


class Unharmed:
    """A client, and the promise that what it sends is refused well and leaves the store as it was."""

    def __init__(self, world: World) -> None:
        self.world, self.api = world, world.api()
        self.seed = world.seed(quota=5)
        self.api.get("/v1/members")
        self.rows = contents(world)

    def refuses(self, answer: TestResponse, status: int, code: str, *, pointer: str = "") -> dict[str, Any]:
        """Hold an answer to everything that a refusal promises; return its document."""
        problem = answer.json
        assert problem is not None, answer.text
        assert (answer.status_code, problem["code"]) == (status, code), answer.text
        assert answer.content_type == "application/problem+json"
        assert KINDS[code].status == problem["status"] == status
        assert problem["type"] == f"/docs#{code}"
        assert problem["request_id"] == answer.headers["X-Request-Id"]
        assert {"title", "detail"} <= problem.keys()
        if pointer:
            assert pointer in [fault["pointer"] for fault in problem["errors"]], answer.text
        assert contents(self.world) == self.rows
        return dict(problem)

    def send(self, body: bytes, path: str = "/v1/verifications", **options: Any) -> TestResponse:
        headers: dict[str, str | None] = {"Authorization": f"Bearer {self.api.key}", "Content-Type": JSON}
        headers |= options.pop("headers", {})
        kept = {name: value for name, value in headers.items() if value is not None}
        return self.api.http.open(path, method="POST", data=body, headers=kept, **options)


def contents(world: World) -> dict[str, list[Any]]:
    """Every row of every table."""
    engine = world.services.store.engine
    with engine.connect() as connection:
        return {
            name: sorted(map(str, connection.execute(text(f"SELECT * FROM {name}"))))
            for name in inspect(engine).get_table_names()
        }


def login(phone: str) -> dict[str, str]:
    return {"purpose": "login", "phone": phone}
