"""The filter language: what it takes, what it refuses, and that nothing makes it fail otherwise."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from identity_service.policy.where import (
    FIELDS,
    MAX_CONDITIONS,
    OPERATORS,
    STATES,
    Condition,
    WhereInvalid,
    parse_where,
)


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("country=RU", [("country", "=", "RU")]),
        ("  country = RU  ", [("country", "=", "RU")]),
        ('country != "RU"', [("country", "!=", "RU")]),
        (
            'level="very new" and campaign=spring-2027',
            [("level", "=", "very new"), ("campaign", "=", "spring-2027")],
        ),
        ("age_days>=30", [("age_days", ">=", 30.0)]),
        ("score>0.25", [("score", ">", 0.25)]),
        ("available=0 AND invitees<3", [("available", "=", 0), ("invitees", "<", 3)]),
        ("generation<=2 and state=active", [("generation", "<=", 2), ("state", "=", "active")]),
        ("level=and and country=and", [("level", "=", "and"), ("country", "=", "and")]),
        ('country=""', [("country", "=", "")]),
    ],
)
def test_comparisons_joined_by_and_are_read(text: str, conditions: list[tuple[str, str, object]]) -> None:
    assert [(c.field, c.operator, c.value) for c in parse_where(text)] == conditions


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected"),
        ("country", "expected"),
        ("country=", "expected"),
        ("country==RU", "expected"),
        ("phone=1", "no field 'phone'"),
        ("Country=RU", "expected"),
        ("country=RU or country=US", "expected `and`"),
        ("country=RU and", "expected"),
        ("country=RU, level=new", "expected"),
        ("country<RU", "compared with = or !="),
        ("generation=abc", "compared with a number"),
        ("generation=1.5", "compared with a number"),
        ("score=nan", "compared with a number"),
        ("score=inf", "compared with a number"),
        ("age_days>1e300", "compared with a number"),
        ("available=99999999999999999999", "out of range"),
        ("generation<2147483648", "out of range"),
        ("age_days>1000001", "out of range"),
        ("available=1_000", "compared with a number"),
        ("available=+5", "compared with a number"),
        ("available=١٢", "compared with a number"),
        ("age_days<-1000001", "out of range"),
        ('level="new', "expected"),
        ("1=1; drop table members", "expected"),
    ],
)
def test_anything_else_is_refused_with_where_and_why(text: str, words: str) -> None:
    with pytest.raises(WhereInvalid, match=words):
        parse_where(text)


def test_a_filter_has_a_bounded_number_of_conditions() -> None:
    most = " and ".join(["available=1"] * MAX_CONDITIONS)
    assert len(parse_where(most)) == MAX_CONDITIONS
    with pytest.raises(WhereInvalid, match=str(MAX_CONDITIONS)):
        parse_where(most + " and available=1")


_ALMOST = st.lists(
    st.one_of(
        st.sampled_from(
            [*FIELDS, *OPERATORS, " ", '"', "and", " and ", "RU", "1", "-1", "1e9", "\x00", "(", "'"]
        ),
        st.text(max_size=5),
    ),
    max_size=14,
).map("".join)


@given(st.one_of(st.text(max_size=300), _ALMOST))
@example("score=1" * 60)
@example("country=" + "x" * 201)
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    try:
        found = parse_where(text)
    except WhereInvalid:
        return
    assert 1 <= len(found) <= MAX_CONDITIONS
    assert all(condition.field in FIELDS and condition.operator in OPERATORS for condition in found)


_values = {
    str: st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True),
    int: st.integers(-(2**31) + 1, 2**31 - 1),
    float: st.integers(-(10**9), 10**9).map(lambda n: n / 1000),
}


@st.composite
def _conditions(draw: st.DrawFn) -> Condition:
    field = draw(st.sampled_from(sorted(FIELDS)))
    kind = FIELDS[field]
    operator = draw(st.sampled_from(("=", "!=") if kind is str else OPERATORS))
    values = st.sampled_from(STATES) if field == "state" else _values[kind]
    return Condition(field=field, operator=operator, value=draw(values))  # type: ignore[arg-type]


def test_a_state_that_there_is_not_is_refused_and_selects_nobody() -> None:
    with pytest.raises(WhereInvalid, match="no such state"):
        parse_where("state!=bannd")


@given(st.lists(_conditions(), min_size=1, max_size=MAX_CONDITIONS))
def test_what_is_written_as_a_filter_is_read_back(conditions: list[Condition]) -> None:
    text = " and ".join(f"{c.field}{c.operator}{c.value!r}".replace("'", "") for c in conditions)
    assert list(parse_where(text)) == conditions
