"""Metrics: made late enough for several processes to share them, and all of them told."""

from __future__ import annotations

import subprocess
import sys

import pytest

from identity_service import telemetry


@pytest.mark.parametrize("module", ["identity_service.devserver", "identity_service.cli.root"])
def test_importing_the_command_line_decides_nothing_about_where_metrics_are_counted(module: str) -> None:
    """`share_metrics` must come before prometheus_client, which no service may import on its own."""
    found = f"import sys, {module}; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", found], check=False).returncode == 0


def test_every_metric_is_told_before_anything_was_counted() -> None:
    told = telemetry.exposition().decode()
    for name in ("identity_requests_total", "identity_worker_faults_total", "identity_guard_answers_total"):
        assert name in told
    assert telemetry.FAULTS is telemetry.FAULTS
    with pytest.raises(AttributeError, match="NOTHING"):
        _ = telemetry.NOTHING
