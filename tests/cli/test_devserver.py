from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.cli.processes import PATIENCE, Running, call, free_port, is_answering, running, wait_for

_DEV_JSON = Path("var/dev.json")
_CODE = re.compile(r"(?<!\d)\d{6}(?!\d)")


def _ready(started: Running) -> dict[str, str]:
    wait_for(_DEV_JSON.exists, started)
    ready: dict[str, str] = json.loads(_DEV_JSON.read_text())
    return ready


def _up(port: int, *options: str) -> tuple[str, ...]:
    return ("identity_service.devserver", "up", "--port", str(port), *options)


def _otp(url: str, phone: str, started: Running) -> str:
    inbox = f"{url}/dev/inbox?to=%2B{phone[1:]}"
    messages = wait_for(lambda: call(inbox)[1]["data"], started)
    found = _CODE.search(messages[0]["body"])
    assert found is not None
    return found[0]


def _register(url: str, key: str, code: str, phone: str, started: Running) -> dict[str, Any]:
    """Walk a registration as another service would."""
    asked = {"purpose": "registration", "phone": phone, "invite_code": code}
    status, verification = call(f"{url}/v1/verifications", key, asked)
    assert status == 202
    check = f"{url}/v1/verifications/{verification['id']}/check"
    status, approved = call(check, key, {"code": _otp(url, phone, started)})
    assert status == 200
    status, made = call(f"{url}/v1/registrations", key, {"invite_code": code, "proof": approved["proof"]})
    assert status == 201
    return dict(made["member"])


def test_the_demo_is_served_with_a_curl_that_works_and_a_member_can_join(store_url: str) -> None:
    port = free_port()
    with running(*_up(port), url=store_url) as started:
        ready = _ready(started)
        url, key = ready["url"], ready["api_key"]
        assert url == f"http://127.0.0.1:{port}"
        assert _DEV_JSON.stat().st_mode & 0o777 == 0o600
        printed = started.out.read_text()
        assert f"{url}/docs" in printed
        assert f"{url}/dev/inbox" in printed
        curl = next(line for line in printed.splitlines() if line.lstrip().startswith("curl "))
        answer = subprocess.run([*shlex.split(curl), "--noproxy", "*"], capture_output=True, check=True)
        invite = json.loads(answer.stdout)
        assert invite["link"].startswith(url)
        member = _register(url, key, invite["code"], "+79161234567", started)
        assert (member["inviter_id"], member["generation"]) == (invite["issuer_id"], 1)
        assert call(f"{url}/v1/invites", key, {"campaign": "x", "channel": "link"})[0] == 403
        assert call(f"{url}/v1/invites", ready["admin_key"], {"campaign": "x", "channel": "link"})[0] == 201
        began = time.monotonic()
        assert started.stop() == 0
        assert time.monotonic() - began < 10
    assert not is_answering(url)
    assert not _DEV_JSON.exists()


def test_without_a_demo_there_is_nobody_and_a_second_start_keeps_the_last_key_alive(store_url: str) -> None:
    keys = []
    for _ in range(3):
        with running(*_up(free_port(), "--no-demo"), url=store_url) as started:
            ready = _ready(started)
            keys.append(ready["api_key"])
            assert call(f"{ready['url']}/v1/members", ready["api_key"])[1]["data"] == []
            known = [call(f"{ready['url']}/v1/members", key)[0] for key in keys]
            assert known == [401] * (len(keys) - 2) + [200] * min(2, len(keys))
            assert started.stop(signal.SIGINT) == 0


def test_when_a_child_dies_the_rest_stops_and_it_is_said(store_url: str) -> None:
    with running(*_up(free_port(), "--no-demo"), url=store_url) as started:
        url = _ready(started)["url"]
        worker = re.search(r'"worker": "[^"]*-(\d+)-[0-9a-f]{4}"', started.err.read_text())
        assert worker is not None
        os.kill(int(worker[1]), signal.SIGKILL)
        assert started.process.wait(PATIENCE) == 3
        assert "worker ended with SIGKILL" in started.err.read_text()
    assert not is_answering(url)


def test_children_do_not_outlive_a_server_that_was_killed(store_url: str) -> None:
    with running(*_up(free_port(), "--no-demo"), url=store_url) as started:
        url = _ready(started)["url"]
        started.stop(signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while is_answering(url):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_taken_port_or_bad_settings_end_it_before_anything_is_made(store_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with running(*_up(taken.getsockname()[1]), url=store_url) as started:
            assert started.process.wait(PATIENCE) == 2
            assert "is taken" in started.err.read_text()
    with running(*_up(free_port()), url=store_url, IDENTITY_SMS_ROUTE="pigeon") as started:
        assert started.process.wait(PATIENCE) == 2
        assert "IDENTITY_SMS_ROUTE" in started.err.read_text()
    assert not Path("var/keyring.json").exists()
