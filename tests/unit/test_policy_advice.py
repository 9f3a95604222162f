"""What `policy check` warns of: each thing that an operator would regret, with its line, and nothing else."""

from __future__ import annotations

import pytest

from identity_service.policy.advice import advice_on
from identity_service.policy.changes import changes, line_of
from identity_service.policy.rules import default_text, faults_of


def test_the_default_policy_is_nothing_to_regret() -> None:
    assert list(advice_on(default_text())) == []


@pytest.mark.parametrize(
    ("old", "new", "rule", "says"),
    [
        ("log_odds = 0.5", "log_odds = 0.2", "levels.1.keep.log_odds", "outside 0.5 to 1.5"),
        ("log_odds = 1.5", "log_odds = 1.6", "levels.3.enter.log_odds", "outside 0.5 to 1.5"),
        ("conduct = 0.0", "conduct = -0.1", "levels.1.keep.conduct", "speak against them"),
        ("unspent_cap = 6", "unspent_cap = 1", "levels.2.unspent_cap", "never come whole"),
        ("open_cap = 15", "open_cap = 1", "levels.2.open_cap", "fewer than a period brings"),
        ('age = "30d"', 'age = "29d"', "levels.1.enter.age", "before trouble has had time"),
        ('matured_after = "30d"', 'matured_after = "31d"', "levels.1.enter.age", "31 days"),
        ('expires_in = "60d"', 'expires_in = "6d"', "earning.expires_in", "before the next period"),
        ("restricted_below = -2.5", "restricted_below = -2.0", "earning.restricted_below", "above -2.5"),
        ("invitees_joined = 3\n", "", "", ""),  # harmless: the next level asks for more
        ("allowance = 1 ", "allowance = 0 ", "levels.2.enter.invitees_joined", "only grants lead there"),
        ("not_adjudicated = true", "", "levels.1.enter", "judged to sell"),
    ],
)
def test_each_regret_is_told_with_its_place(old: str, new: str, rule: str, says: str) -> None:
    text = default_text()
    assert old in text
    changed = text.replace(old, new, 1)
    found = list(advice_on(changed))
    assert [one.rule for one in found] == ([rule] if rule else [])
    for one in found:
        assert says in one.detail
        assert one.line is not None
        name = rule.rpartition(".")[2]
        line = changed.splitlines()[one.line - 1]
        assert name in line


def test_a_level_at_which_nobody_stays_is_told() -> None:
    text = default_text()
    trusted = text[text.index('name = "trusted"') : text.index('name = "steward"')]
    easy = trusted.replace("log_odds = 1.1", "log_odds = 0.8").replace("conduct = 0.7", "conduct = 0.2")
    easy = easy.replace("conduct = 0.4", "conduct = 0.2")
    easy = easy.replace('age = "90d"', 'age = "30d"').replace("invitees_joined = 3\n", "")
    easy = easy.replace("invitees_banned_share = 0.1\n", "invitees_banned_share = 0.15\n", 1)
    (found,) = advice_on(text.replace(trusted, easy))
    assert (found.rule, found.detail) == (
        "levels.1",
        "nobody stays at member: whoever reaches it reaches trusted as well",
    )


def test_a_policy_by_which_nobody_earns_is_told() -> None:
    text = default_text()
    for allowance in (1, 2, 3):
        text = text.replace(f"allowance = {allowance}", "allowance = 0")
    found = {one.rule: one.detail for one in advice_on(text)}
    assert "no level earns anything" in found["levels"]


def test_faults_within_levels_have_the_line_at_which_they_stand() -> None:
    text = default_text().replace("log_odds = 1.1", "log_odds = 99", 1)
    (found,) = faults_of(text)
    assert found.rule == "levels.2.enter.log_odds"
    assert found.line is not None
    assert text.splitlines()[found.line - 1].startswith("log_odds = 99")
    text = default_text().replace("allowance = 3 ", "allowances = 3 ", 1)
    (found,) = faults_of(text)
    assert found.line is not None
    assert text.splitlines()[found.line - 1].startswith("allowances = 3")
    assert line_of(text, ("nothing", "of", "it")) is None


def test_a_change_within_a_level_is_told_under_its_name() -> None:
    after = (
        default_text().replace("log_odds = 1.5", "log_odds = 1.4").replace('name = "new"', 'name = "fresh"')
    )
    told = {one.rule: (one.before, one.after) for one in changes(default_text(), after)}
    assert told["levels.steward.enter.log_odds"] == ("1.5", "1.4")
    assert told["levels"][1] == '["fresh", "member", "trusted", "steward"]'
