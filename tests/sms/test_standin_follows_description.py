"""The Twilio stand-in, and what our adapter sends, held to Twilio's own API description.

`twilio_messages_facts.json` holds the facts of that description which matter here: operations with
their parameters and success codes, the fields of a message, the enumerations. A stand-in that was
only held to our own adapter would share our misunderstandings.
"""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jsonschema_rs
import pytest

from sms.providers.twilio import STATES
from tests.sms.provider_contract import BODY, PHONE, outgoing
from tests.sms.providers.test_twilio import provider_at
from tests.standins.twilio import ACCOUNT_SID, AUTH_TOKEN, MESSAGING_SERVICE_SID, TwilioStandIn

FACTS: dict[str, Any] = json.loads(Path(__file__).with_name("twilio_messages_facts.json").read_text("utf-8"))
LIST = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
ONE = "/2010-04-01/Accounts/{AccountSid}/Messages/{Sid}.json"
FEEDBACK = "/2010-04-01/Accounts/{AccountSid}/Messages/{MessageSid}/Feedback.json"


@pytest.fixture
def twilio() -> Iterator[TwilioStandIn]:
    with TwilioStandIn() as standin:
        yield standin


def call(
    twilio: TwilioStandIn, operation: str, sid: str = "", *, token: str = AUTH_TOKEN, **form: str
) -> tuple[int, Any]:
    """Call an operation of the description, without any client of ours or Twilio's."""
    method, path = operation.split(" ")
    path = path.replace("{AccountSid}", ACCOUNT_SID).replace("{Sid}", sid).replace("{MessageSid}", sid)
    credentials = base64.b64encode(f"{ACCOUNT_SID}:{token}".encode()).decode()
    request = urllib.request.Request(
        twilio.base_url + path,
        data=urlencode(form).encode() if method == "POST" else None,
        headers={"Authorization": f"Basic {credentials}"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            body = response.read()
            return response.status, json.loads(body) if body else None
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def created(twilio: TwilioStandIn, **form: str) -> Any:
    status, message = call(
        twilio, f"POST {LIST}", To=PHONE, Body=BODY, MessagingServiceSid=MESSAGING_SERVICE_SID, **form
    )
    assert status == 201
    return message


@pytest.mark.parametrize("operation", sorted(FACTS["operations"]))
def test_every_operation_answers_with_the_described_success_code(
    twilio: TwilioStandIn, operation: str
) -> None:
    sid = created(twilio)["sid"]
    form = {"To": PHONE, "Body": BODY, "From": "+15005550006"} if operation == f"POST {LIST}" else {}

    status, _ = call(twilio, operation, sid, **form)

    assert status in FACTS["operations"][operation]["success"]


@pytest.mark.parametrize("status", [one for one in FACTS["status"] if one not in FACTS["status_of_incoming"]])
def test_a_message_has_exactly_the_described_fields_in_every_status(
    twilio: TwilioStandIn, status: str
) -> None:
    message = created(twilio)
    jsonschema_rs.validate(FACTS["message"], message)

    twilio.move(message["sid"], status, error_code=30003 if status == "failed" else None, price="-0.0075")

    jsonschema_rs.validate(FACTS["message"], call(twilio, f"GET {ONE}", message["sid"])[1])


def test_the_checker_would_notice_a_missing_and_an_added_field(twilio: TwilioStandIn) -> None:
    message = created(twilio)

    for changed in ({**message, "extra": 1}, {k: v for k, v in message.items() if k != "uri"}):
        with pytest.raises(jsonschema_rs.ValidationError):
            jsonschema_rs.validate(FACTS["message"], changed)


def test_feedback_has_exactly_the_described_fields(twilio: TwilioStandIn) -> None:
    sid = created(twilio)["sid"]

    _, feedback = call(twilio, f"POST {FEEDBACK}", sid, Outcome="confirmed")

    jsonschema_rs.validate(FACTS["feedback"], feedback)


@pytest.mark.parametrize("parameter", FACTS["operations"][f"POST {LIST}"]["required"])
def test_a_required_parameter_is_required(twilio: TwilioStandIn, parameter: str) -> None:
    form = {"To": PHONE, "Body": BODY, "From": "+15005550006"}
    del form[parameter]

    status, error = call(twilio, f"POST {LIST}", **form)

    assert (status, error["status"]) == (400, 400)
    assert isinstance(error["code"], int)


def test_wrong_credentials_and_unknown_messages_are_refused_as_twilio_does(twilio: TwilioStandIn) -> None:
    sid = created(twilio)["sid"]

    assert call(twilio, f"GET {ONE}", sid, token="wrong")[0] == 401
    assert call(twilio, f"GET {ONE}", "SM" + "0" * 32)[1]["code"] == 20404


def test_our_adapter_sends_only_described_parameters_with_described_values(twilio: TwilioStandIn) -> None:
    described = FACTS["operations"][f"POST {LIST}"]["parameters"]
    for from_service in (True, False):
        accepted = provider_at(twilio.base_url, feedback=True, from_service=from_service).send(outgoing())
        sent = twilio.messages[accepted.provider_id].parameters
        for name, value in sent.items():
            jsonschema_rs.validate(described[name], _typed(value, described[name]))


def test_our_adapter_knows_every_described_status_of_an_outgoing_message() -> None:
    assert set(STATES) == set(FACTS["status"]) - set(FACTS["status_of_incoming"])


def _typed(value: str, schema: dict[str, Any]) -> object:
    match schema["type"]:
        case "integer":
            return int(value)
        case "boolean":
            return {"true": True, "false": False}[value]
        case _:
            return value
