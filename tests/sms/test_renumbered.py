"""Old spellings of numbers: one subscriber is one number."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.numbers import SELECTABLE_KINDS, NumberPolicy, parse
from sms.renumbered import RENUMBERINGS, current_form

CASES = [
    ("Benin 2024", "+22990011234", "+2290190011234"),
    ("Benin 2024, landline block", "+22997123456", "+2290197123456"),
    ("Côte d'Ivoire 2021, Moov", "+22501123456", "+2250101123456"),
    ("Côte d'Ivoire 2021, MTN", "+22545123456", "+2250545123456"),
    ("Côte d'Ivoire 2021, Orange", "+22507123456", "+2250707123456"),
    ("Gabon 2019, with the old zero", "+24106031234", "+24166031234"),
    ("Gabon 2019, without it", "+2416031234", "+24166031234"),
    ("Gabon 2019, Airtel", "+24107280150", "+24177280150"),
    ("The Gambia 2026, QCell", "+2203012345", "+220833012345"),
    ("The Gambia 2026, Africell", "+2207012345", "+220877012345"),
    ("The Gambia 2026, Comium", "+2206612345", "+220866612345"),
    ("Liberia 2013", "+2315123456", "+231555123456"),
    ("Cameroon 2014", "+23777123456", "+237677123456"),
    ("Mexico 2019", "+5215512345678", "+525512345678"),
    ("Viet Nam 2018, Viettel", "+841681234567", "+84381234567"),
    ("Viet Nam 2018, MobiFone", "+841201234567", "+84701234567"),
    ("Brazil 2012 to 2016", "+551187654321", "+5511987654321"),
]


@pytest.mark.parametrize(("old", "new"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_old_and_the_new_spelling_are_one_number(old: str, new: str) -> None:
    assert current_form(old) == new
    assert parse(old) == parse(new)
    assert parse(old).e164 == new


@pytest.mark.parametrize(
    ("why", "number"),
    [
        ("Gamcel has not moved", "+2209912345"),
        ("a Gambian landline", "+2204212345"),
        ("a Gambian landline", "+2205612345"),
        ("a Brazilian landline", "+551123456789"),
        ("Brazilian trunked radio kept eight digits", "+551178123456"),
        ("Cameroonian toll-free", "+23788012345"),
        ("another country", "+14155552671"),
        ("a Vietnamese number that never was", "+841301234567"),
    ],
)
def test_numbers_that_did_not_change_stay(why: str, number: str) -> None:
    assert current_form(number) == number, why


@pytest.mark.parametrize("code", sorted(RENUMBERINGS))
def test_no_example_of_todays_plan_becomes_invalid_or_another_kind(code: str) -> None:
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]:
        for number_type in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE):
            found = phonenumbers.example_number_for_type(region, number_type)
            assert found is not None
            raw = phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)
            rewritten = phonenumbers.parse(current_form(raw))
            assert phonenumbers.is_valid_number(rewritten), raw
            assert phonenumbers.number_type(rewritten) == phonenumbers.number_type(found), raw


@given(st.sampled_from(sorted(RENUMBERINGS)), st.text("0123456789", min_size=4, max_size=12))
def test_rewriting_twice_is_rewriting_once(code: str, rest: str) -> None:
    once = current_form(f"+{code}{rest}")

    assert current_form(once) == once


@given(st.sampled_from(sorted(RENUMBERINGS)), st.text("0123456789", min_size=4, max_size=12))
def test_rewriting_keeps_the_subscribers_last_six_digits(code: str, rest: str) -> None:
    number = f"+{code}{rest}"

    assert current_form(number)[-4:] == number[-4:]
    assert current_form(number).startswith(f"+{code}")


@pytest.mark.parametrize("code", sorted(RENUMBERINGS))
def test_two_old_numbers_of_one_length_never_become_one(code: str) -> None:
    leads = RENUMBERINGS[code].leads
    for length in {len(lead) for lead in leads}:
        today = [new for lead, new in leads.items() if len(lead) == length]
        assert len(set(today)) == len(today)
        # None may be the beginning of another, or two of them with their rest could meet.
        assert len({len(new) for new in today}) == 1


def test_every_rules_outcome_is_a_kind_that_can_be_written_to() -> None:
    widest = NumberPolicy(kinds=SELECTABLE_KINDS)
    for _, old, _ in CASES:
        assert parse(old, widest).kind in NumberPolicy().kinds
