"""The development inbox: the contract, many processes, and what it shows."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sms.numbers import E164
from sms.providers.base import FailureKind
from sms.providers.inbox import Inbox
from sms.states import DeliveryState
from tests.sms.provider_contract import BODY, PHONE, ProviderContract, Rig, failure_of, outgoing

OTHER_PHONE = E164("+447400123457")


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "var" / "inbox.sqlite3")


class TestInboxKeepsTheContract(ProviderContract):
    repeats_are_one_message = True

    @pytest.fixture
    def rig(self, inbox: Inbox) -> Rig:
        return Rig(
            provider=inbox,
            arrived=lambda: [(one["to"], one["body"]) for one in reversed(inbox.messages())],
        )


def test_an_inbox_that_nothing_came_to_is_empty(inbox: Inbox) -> None:
    assert inbox.messages() == []


def test_a_message_is_shown_with_its_moment_in_utc(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 22, 4, 5, 6, 789, tzinfo=UTC)
    inbox = Inbox(tmp_path / "inbox.sqlite3", now=lambda: moment)

    accepted = inbox.send(outgoing())

    assert accepted.state is DeliveryState.DELIVERED
    assert inbox.messages() == [
        {"to": PHONE, "body": BODY, "channel": "sms", "sent_at": "2026-11-22T04:05:06.000789Z"}
    ]


def test_the_newest_message_comes_first_even_when_the_clock_steps_back(tmp_path: Path) -> None:
    moments = iter(datetime(2026, 11, 22, tzinfo=UTC) - timedelta(hours=n) for n in range(3))
    inbox = Inbox(tmp_path / "inbox.sqlite3", now=lambda: next(moments))
    for n in range(3):
        inbox.send(outgoing(f"att_{n}", body=f"message {n}"))

    assert [one["body"] for one in inbox.messages()] == ["message 2", "message 1", "message 0"]


def test_messages_can_be_asked_for_by_number_and_bounded(inbox: Inbox) -> None:
    for n in range(4):
        inbox.send(outgoing(f"att_{n}", to=OTHER_PHONE if n % 2 else PHONE, body=f"message {n}"))

    assert [one["body"] for one in inbox.messages(to=PHONE)] == ["message 2", "message 0"]
    assert [one["body"] for one in inbox.messages(limit=1)] == ["message 3"]
    assert inbox.messages(to="+1' OR 1=1 --") == []


def test_several_processes_write_at_once_and_nothing_is_lost(inbox: Inbox, tmp_path: Path) -> None:
    script = (
        "import sys, json; from sms.providers.inbox import Inbox;"
        "from sms.providers.base import OutgoingMessage;"
        "inbox = Inbox(sys.argv[1]);"
        "[inbox.send(OutgoingMessage(attempt_id=f'{sys.argv[2]}-{n}', to='+447400123456', body='x',"
        " country='GB', validity_seconds=1)) for n in range(25)];"
        "print(json.dumps(len(inbox.messages(limit=1000))))"
    )
    path = str(tmp_path / "var" / "inbox.sqlite3")
    writers = [
        subprocess.Popen([sys.executable, "-c", script, path, str(n)], stdout=subprocess.PIPE)
        for n in range(3)
    ]
    seen = [json.loads(writer.communicate(timeout=30)[0]) for writer in writers]

    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert max(seen) == len(inbox.messages(limit=1000)) == 75


def test_a_file_that_can_not_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "inbox.sqlite3").write_bytes(b"this is no database " * 100)

    failure = failure_of(Inbox(tmp_path / "inbox.sqlite3"), outgoing())

    assert failure.kind is FailureKind.UNAVAILABLE
    assert failure.may_have_been_sent is False
