from __future__ import annotations

import re
import socket
import urllib.request
from pathlib import Path

import yaml

from identity_service.demo import CAMPAIGN
from tests.cli.conftest import Terminal
from tests.cli.processes import call, free_port, is_answering, running, wait_for
from tests.support.world import World


def test_the_description_is_printed_as_yaml(run: Terminal) -> None:
    document = yaml.safe_load(run("openapi").stdout)
    assert document["openapi"].startswith("3.1")
    assert "/v1/invites" in document["paths"]


def test_the_demo_is_made_once(run: Terminal, world: World) -> None:
    made = run.json("demo")
    assert made["campaign"] == CAMPAIGN
    assert made["campaign_link"].startswith("http")
    again = run.json("demo")
    assert again == made | {"campaign_link": None}
    counts = run.json("tree", "check")["counts"]
    assert (counts["members"], counts["seeds"], counts["generations"]) == (6, 1, 4)
    assert run.json("quota", "show", made["demo-ada"])["granted"] == 1000
    assert [m["external_id"] for m in run.json("members", "list", "--limit", "1")["data"]] == ["demo-ada"]


def test_a_demo_that_was_broken_off_is_finished(run: Terminal, world: World) -> None:
    run("members", "create", "--seed", "--phone", "+61491570156", "--external-id", "demo-ada")
    run.json("demo")
    assert run.json("tree", "check")["counts"]["members"] == 6


def test_there_is_no_demo_where_messages_go_to_real_phones(run: Terminal) -> None:
    assert "demo_unwanted" in run("demo", code=1, IDENTITY_SMS_ROUTE="null").stderr


def test_nothing_is_served_with_faults_in_the_settings_or_a_database_that_is_not_ready(
    run: Terminal, tmp_path: Path
) -> None:
    faults = run("serve", code=2, IDENTITY_PUBLIC_URL="x", IDENTITY_SMS_ROUTE="pigeon").stderr
    assert len(faults.splitlines()) == 2
    empty = {"IDENTITY_DATABASE_URL": f"sqlite:///{tmp_path}/empty.sqlite3"}
    assert "identity db upgrade" in run("serve", code=3, **empty).stderr
    assert "identity db upgrade" in run("worker", code=3, **empty).stderr
    assert "unusable" not in run("serve", "--port", "0", code=2).stderr


def test_a_taken_port_is_told(run: Terminal) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Port {port} of 127.0.0.1 is taken" in run("serve", "--port", str(port), code=2).stderr


def test_sqlite_is_served_by_one_process(run: Terminal, world: World) -> None:
    if world.store == "sqlite":
        assert "one process" in run("serve", "--workers", "2", code=2).stderr


def test_web_and_worker_serve_together_and_stop_in_order(run: Terminal, world: World) -> None:
    key = run.json("clients", "create", "shop", "--scope", "admin")["key"]
    port, phone = free_port(), world.phone()
    url, shared = f"http://127.0.0.1:{port}", {"IDENTITY_METRICS_DIR": "metrics"}
    web = running("identity_service.cli", "serve", "--port", str(port), url=run.url, **shared)
    with web as serving:
        wait_for(lambda: is_answering(url), serving)
        invite = {"campaign": "spring", "channel": "sms", "phone": phone}
        status, made = call(f"{url}/v1/invites", key, invite)
        assert (status, made["delivery"]["state"]) == (201, "queued")
        Path("identity_service.cli.err").rename("web.err")
        with running("identity_service.cli", "worker", url=run.url, **shared) as working:
            inbox = f"{url}/dev/inbox?to=%2B{phone[1:]}"
            wait_for(lambda: call(inbox)[1]["data"], working)
            assert working.stop() == 0
        metrics = _metrics(url)
        # The worker's count is seen through the web: both write into one folder.
        assert re.search(r'identity_messages_total\{outcome="accepted",provider="inbox"\} 1\.0', metrics)
        assert re.search(r'identity_requests_total\{.*route="/v1/invites",status="201"\} 1\.0', metrics)
        assert serving.stop() == 0
    assert not is_answering(url)
    assert Path("identity_service.cli.out").read_text() == ""
    assert phone not in Path("web.err").read_text() + Path("identity_service.cli.err").read_text()


def test_all_serving_processes_count_together(run: Terminal, tmp_path: Path) -> None:
    key = run.json("clients", "create", "shop", "--scope", "admin")["key"]
    port, folder = free_port(), tmp_path / "temporary"
    folder.mkdir()
    url = f"http://127.0.0.1:{port}"
    command = ("identity_service.cli", "serve", "--port", str(port))
    with running(*command, url=run.url, TMPDIR=str(folder)) as serving:
        wait_for(lambda: is_answering(url), serving)
        for _ in range(20):
            assert call(f"{url}/v1/members", key)[0] == 200
        for _ in range(5):
            counted = re.search(
                r'identity_requests_total\{.*route="/v1/members",status="200"\} (\S+)', _metrics(url)
            )
            assert counted is not None
            assert float(counted[1]) == 20
        assert serving.stop() == 0
    assert list(folder.iterdir()) == []


def _metrics(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/metrics", timeout=20) as answer:
        return str(answer.read().decode())
