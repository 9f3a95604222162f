"""Generated requests against every operation of the description, on both stores, under every check.

The requests come from the description alone; where one names a member, an invite, a code or a phone, every
second one is given a real one, so that what lies behind the first 404 is reached as well.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import Case, Response

from tests.fuzz.conftest import Target
from tests.fuzz.described import door, effort, real, schema, understood

pytestmark = pytest.mark.fuzz


@schema.parametrize()
@effort(10)
def test_no_request_breaks_the_service_or_its_description(case: Case[Any], target: Target) -> None:
    door.application = target.world.app.wsgi_app
    real(case, target.known)
    case.call_and_validate(
        headers={"Authorization": f"Bearer {target.admin.key}"}, additional_checks=[understood]
    )


def test_no_chain_of_linked_calls_breaks_the_service_or_its_description(target: Target) -> None:
    door.application = target.world.app.wsgi_app

    headers = {"Authorization": f"Bearer {target.admin.key}"}

    class Journey(schema.as_state_machine()):  # type: ignore[misc]
        def before_call(self, case: Case[Any]) -> None:
            real(case, target.known, in_path=False)  # the path holds what the call before answered

        def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:
            return {"headers": headers}

        def validate_response(self, response: Response, case: Case[Any], **options: Any) -> None:
            case.validate_response(
                response, headers=headers, additional_checks=[understood], transport_kwargs=options
            )

    run_state_machine_as_test(Journey, settings=effort(25, stateful_step_count=6))


def test_what_the_requests_left_behind_still_adds_up(target: Target) -> None:
    world = target.world
    world.work()
    numbered, broken = world.query(world.services.journal.verify)
    assert (numbered > 0, broken) == (True, None)
    for member_id in target.known["member_id"]:
        quota = target.admin.get(f"/v1/members/{member_id}/quota").json
        assert quota is not None
        balance = quota["granted"] - quota["spent"] + quota["refunded"] - quota["expired"]
        assert quota["available"] == balance >= 0
