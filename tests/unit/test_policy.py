"""The policy file, the rules over frozen facts, and the arithmetic of budgets."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_service.errors import Misconfigured
from identity_service.policy.budgets import Limit, cooldown_after
from identity_service.policy.inviting import may_still_vouch
from identity_service.policy.rules import default_text, load_policy, parse_policy
from identity_service.policy.values import span
from identity_service.ports import DAY, HOUR, MINUTE, SECOND


def test_the_default_policy_holds_what_is_decided() -> None:
    policy = load_policy("")
    assert (policy.verification.code_digits, policy.verification.recovery_code_digits) == (6, 8)
    assert policy.verification.life <= 10 * MINUTE
    assert policy.verification.checks_a_code == 5
    assert policy.guess_rate.limits == (Limit(times=10, window=DAY), Limit(times=30, window=7 * DAY))
    assert policy.guess_rate.trickle == Limit(times=1, window=6 * HOUR)
    assert policy.send_rate.limits == (Limit(times=5, window=DAY),)
    assert (policy.recovery.dormant_after, policy.recovery.hold) == (90 * DAY, 72 * HOUR)
    assert policy.invites.sms_proves_for == 72 * HOUR
    assert policy.invites.hold == 30 * MINUTE


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ('version = "2026-11-1"', "", "version"),
        ("code_digits = 6", "code_digits = 4", "verification.code_digits"),
        ('life = "10m"', 'life = "11m"', "verification.life"),
        ('proof_life = "10m"', 'proof_life = "1h"', "verification.proof_life"),
        ("checks_a_code = 5", "checks_a_code = 0", "verification.checks_a_code"),
        ('hold = "30m"', 'hold = "30 minutes"', "invites.hold"),
        ('hold = "30m"', "hold = 30", "invites.hold"),
        ('hold = "30m"', 'hold = "0m"', "invites.hold"),
        ('limits = [[5, "24h"]]', "limits = []", "sends.limits"),
        ('limits = [[5, "24h"]]', 'limits = [[0, "24h"]]', "sends.limits"),
        ('limits = [[5, "24h"]]', 'limits = [["5", "24h"]]', "sends.limits"),
        ("bulk_items = 100", "bulk_items = 100\nbulk_itmes = 5", "invites.bulk_itmes"),
        ("campaign_max_uses = 100000", "campaign_max_uses = 100001", "invites.campaign_max_uses"),
        ("report = -0.7", "report = 0.7", "trust.evidence.report"),
        ("vouch = 0.25", "vouch = inf", "trust.evidence.vouch"),
        ("b = 0.8", "b = 0.01", "trust.model"),
        ("[members]", "[member]", "member"),
        ("[misses]", "[misses", "not TOML"),
    ],
)
def test_a_wrong_policy_is_refused_with_the_rule_that_is_wrong(old: str, new: str, names: str) -> None:
    text = default_text()
    assert old in text
    with pytest.raises(Misconfigured, match=names) as caught:
        parse_policy(text.replace(old, new, 1), "mine.toml")
    assert "mine.toml" in str(caught.value)


def test_a_policy_file_that_cannot_be_read_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="IDENTITY_POLICY_FILE"):
        load_policy(str(tmp_path / "none.toml"))


def test_a_file_of_an_earlier_release_has_defaults_for_the_rules_that_are_new(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text('version = "old"\n[invites]\nhold = "45m"\n[trust.evidence]\nreport = -0.5\n')
    policy, default = load_policy(str(path)), load_policy("")
    assert (policy.version, policy.invites.hold) == ("old", 45 * MINUTE)
    assert policy.trust.evidence == default.trust.evidence.model_copy(update={"report": -0.5})
    assert policy.levels == default.levels
    with pytest.raises(Misconfigured, match=r"invites\.bulk_items"):
        parse_policy(path.read_text(), "old.toml")  # what is announced anew says every rule


def test_a_policy_file_that_is_not_text_names_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Misconfigured, match=r"binary\.toml"):
        load_policy(str(path))


@pytest.mark.parametrize(
    ("text", "value"), [("1s", SECOND), ("30m", 30 * MINUTE), ("72h", 72 * HOUR), ("90d", 90 * DAY)]
)
def test_a_span_is_a_number_and_a_unit(text: str, value: int) -> None:
    assert span(text) == value


@given(st.one_of(st.text(max_size=12), st.integers(), st.none(), st.floats()))
def test_a_span_is_positive_or_refused(text: object) -> None:
    try:
        assert span(text) > 0
    except ValueError:
        return


@given(step=st.integers(1, 10_000), first=st.integers(1, DAY), longest=st.integers(1, DAY))
def test_a_cool_down_doubles_and_never_passes_its_cap(step: int, first: int, longest: int) -> None:
    wait = cooldown_after(step, first=first, longest=longest)
    assert 0 < wait <= longest
    assert cooldown_after(step + 1, first=first, longest=longest) == min(
        longest, max(wait, min(wait * 2, longest))
    )


@pytest.mark.parametrize(
    ("state", "frozen", "vouches"),
    [
        ("active", 0, True),
        ("active", 1, False),
        ("suspended", 0, False),
        ("banned", 0, False),
        (None, None, False),
    ],
)
def test_open_invites_work_only_while_their_inviter_may_invite(
    state: str | None, frozen: int | None, vouches: bool
) -> None:
    assert may_still_vouch(state, frozen) is vouches
