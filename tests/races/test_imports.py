"""Two operators import one tree at once: nobody is made twice."""

from __future__ import annotations

from functools import partial

import pytest

from identity_service.errors import Refused
from identity_service.ports import DAY
from identity_service.services.imports import Brought, Newcomer
from sms.numbers import parse
from tests.races.contenders import race
from tests.races.soundness import number
from tests.support.world import World

pytestmark = pytest.mark.race
_RACED = ("import_raced", "phones_raced")


def _bring(world: World, newcomers: list[Newcomer], name: str) -> list[Brought]:
    """Import as the command line does: in batches, each begun again where another was faster."""
    done = []
    for at in range(0, len(newcomers), 50):
        batch = newcomers[at : at + 50]
        while True:
            try:
                done.append(world.transact(lambda tx, b=batch: world.services.imports.bring(tx, b, name)))
                break
            except Refused as refused:
                if refused.code not in _RACED:
                    raise
    return done


def test_four_imports_of_one_tree_make_each_member_once(world: World) -> None:
    """Attack: the cron job that starts while the last one still runs. Each looks who is there, finds nobody,
    and writes; the unique constraints decide, and who loses begins its batch again and finds everybody."""
    tree = [
        Newcomer(
            external_id=f"u{n}",
            joined_at=n * DAY,
            inviter=f"u{n // 2}" if n else None,
            number=parse(f"+7916{n:07d}") if n % 2 else None,
            state="banned" if n % 50 == 7 else "active",
        )
        for n in range(400)
    ]
    found = race([partial(_bring, world, tree, f"imp_{name}") for name in "abcd"])
    made = [sum(part.made for part in parts) for parts in found]
    here = [sum(part.already_here for part in parts) for parts in found]
    assert sum(made) == 400
    assert [m + h for m, h in zip(made, here, strict=True)] == [400] * 4
    assert not any(part.refused for parts in found for part in parts)
    assert number(world, "SELECT count(*) FROM members") == 400
    assert number(world, "SELECT count(*) FROM sanctions") == 8
    assert number(world, "SELECT count(*) FROM phones") == 200


def test_a_registration_and_an_import_of_one_phone_make_one_member(world: World) -> None:
    """Attack: a person registers while the operator imports them. Whoever is first has the phone; the import
    tells the line, and the registration is refused as for any phone that is taken."""
    api, phone = world.api(), world.phone()
    invite = {"issuer_id": world.seed(quota=1).id, "channel": "sms", "phone": phone}
    assert api.post("/v1/invites", invite).status_code == 201
    code = world.invite_code(phone)
    newcomer = Newcomer(external_id="ada", joined_at=0, number=parse(phone))

    def register() -> bool:
        from tests.races.contenders import Request, send

        request = Request(api=api, path="/v1/registrations", json={"invite_code": code, "phone": phone})
        return send(world, request).outcome == "201"

    def bring() -> bool:
        return _bring(world, [newcomer], "imp_x")[0].made == 1

    assert sorted(race([register, bring])) == [False, True]
    assert number(world, "SELECT count(*) FROM members WHERE phone_id IS NOT NULL") == 2
