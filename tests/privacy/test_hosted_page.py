"""The hosted page's whole way, and then a search for its numbers and codes in all that is kept or said."""

from __future__ import annotations

import base64
import re

from tests.pages.browser import Browser, invited
from tests.privacy.search import Canaries, found, raw_store
from tests.support import logs
from tests.support.world import World

_RECOVERY_CODE = re.compile(r"\b[0-9a-z]{4}(?:-[0-9a-z]{4}){3}\b")
_NUMBERS = [("+79037412958", "9037412958"), ("+79265803174", "9265803174")]


def test_nothing_of_the_way_is_kept_or_said_in_clear(world: World) -> None:
    canaries, browser, cookies = Canaries(), Browser(world), []
    with logs.caught("INFO") as stream:
        for phone, national in _NUMBERS:
            invite = invited(world)
            canaries.add_phone(phone, national)
            canaries.add_dashed("invite code", invite["code"])
            browser.open(invite["path"])
            browser.send("/phone", phone=phone)
            code = world.otp(phone)
            canaries.add_otp(code)
            browser.send("/code", otp="000000" if code != "000000" else "000001")
            browser.send("/code", otp=code)
            for recovery_code in _RECOVERY_CODE.findall(browser.page.text):
                canaries.add_dashed("recovery code", recovery_code)
            cookies += [base64.urlsafe_b64decode(value) for value in browser.cookies.values()]
        browser.send("/kept")
    world.work()
    said = {
        "the log": stream.getvalue().encode(),
        "the metrics": world.app.test_client().get("/metrics").data,
        "the cookies": b"\n".join(cookies),
        "the cookies' names": " ".join(browser.cookies).encode(),
    }
    assert len(canaries.texts) > 50
    assert found(canaries, said | raw_store(world)) == []
