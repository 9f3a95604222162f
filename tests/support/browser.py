"""The browser of the tests: this machine's Chromium, driven by playwright.

Where there is none the browser's tests are skipped, and the run's header says so; continuous integration
(`CI=true`) must have one.  Run as `python -m tests.support.browser` it prints which one the tests would use,
and exits with 1 where there is none.
"""

from __future__ import annotations

import os
import shutil
import sys

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str | None:
    """Return the path of the browser: `TEST_BROWSER`, or the first one of this machine."""
    given = os.environ.get("TEST_BROWSER")
    return given or next((path for name in _NAMES if (path := shutil.which(name))), None)


def is_required() -> bool:
    return os.environ.get("CI", "").lower() in ("true", "1")


def describe() -> str:
    found = find_browser()
    if found is not None:
        return found
    return f"none: the tests in a browser {'FAIL' if is_required() else 'are SKIPPED'}"


if __name__ == "__main__":
    sys.stdout.write(f"browser: {describe()}\n")
    sys.exit(find_browser() is None)
