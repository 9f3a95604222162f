"""Phone numbers: what gets in, in which form, and what a mask shows."""

import inspect
import re
import sys
from collections.abc import Iterator

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from sms import numbers
from sms.numbers import (
    E164,
    SELECTABLE_KINDS,
    Number,
    NumberKind,
    NumberPolicy,
    NumberRefused,
    Refusal,
    mask,
    parse,
)

EVERYTHING = NumberPolicy(kinds=SELECTABLE_KINDS, international_networks=True)
TYPES = {
    PhoneNumberType.FIXED_LINE: "fixed",
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.TOLL_FREE: "toll-free",
    PhoneNumberType.PREMIUM_RATE: "premium",
    PhoneNumberType.SHARED_COST: "shared-cost",
    PhoneNumberType.VOIP: "voip",
    PhoneNumberType.PERSONAL_NUMBER: "personal",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "uan",
    PhoneNumberType.VOICEMAIL: "voicemail",
}
KIND_OF_TYPE = {
    PhoneNumberType.FIXED_LINE: NumberKind.FIXED_LINE,
    PhoneNumberType.MOBILE: NumberKind.MOBILE,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: NumberKind.FIXED_OR_MOBILE,
    PhoneNumberType.VOIP: NumberKind.VOIP,
    PhoneNumberType.PERSONAL_NUMBER: NumberKind.PERSONAL,
}


def example_of(region: str, number_type: int) -> str | None:
    found = phonenumbers.example_number_for_type(region, number_type)
    return None if found is None else phonenumbers.format_number(found, PhoneNumberFormat.E164)


def examples() -> Iterator[tuple[str, int, str]]:
    """Give phonenumbers' own example of every region and type."""
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for number_type in TYPES:
            raw = example_of(region, number_type)
            if raw is not None:
                yield region, number_type, raw


def may_be_of(raw: str, region: str, country: str) -> bool:
    """Whether a country is right for a region's example.

    Some regions share a code *and* a block (Åland with Finland, Jersey with Britain, the personal
    numbers of all of +1): then digits alone can not tell them apart, and either is right.
    """
    parsed = phonenumbers.parse(raw)
    shared = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[parsed.country_code or 0]
    both = phonenumbers.is_valid_number_for_region(parsed, region) and country in shared
    return country == region or (both and phonenumbers.is_valid_number_for_region(parsed, country))


def refusal(raw: object, policy: NumberPolicy = NumberPolicy()) -> Refusal:  # noqa: B008 (frozen)
    with pytest.raises(NumberRefused) as caught:
        parse(raw, policy)
    return caught.value.code


EXAMPLES = list(examples())


def test_there_are_examples_of_every_region() -> None:
    assert {region for region, _, _ in EXAMPLES} == phonenumbers.SUPPORTED_REGIONS
    assert len(EXAMPLES) > 900


MOBILES = {region: raw for region, of_type, raw in EXAMPLES if of_type == PhoneNumberType.MOBILE}


def test_only_a_remote_island_has_no_mobiles() -> None:
    assert phonenumbers.SUPPORTED_REGIONS - set(MOBILES) == {"TA"}


@pytest.mark.parametrize("region", sorted(MOBILES))
def test_a_mobile_of_every_region_is_accepted_with_its_country(region: str) -> None:
    number = parse(MOBILES[region])

    assert may_be_of(MOBILES[region], region, number.country)
    assert number.kind in {NumberKind.MOBILE, NumberKind.FIXED_OR_MOBILE}
    assert parse(number.e164) == number, "the canonical form is its own canonical form"


@pytest.mark.parametrize("number_type", list(TYPES), ids=TYPES.values())
def test_the_example_of_every_region_and_type_is_accepted_or_refused_by_its_kind(number_type: int) -> None:
    for region, of_type, raw in EXAMPLES:
        if of_type != number_type:
            continue
        actual = phonenumbers.number_type(phonenumbers.parse(raw))
        if actual in KIND_OF_TYPE:
            number = parse(raw, EVERYTHING)
            assert may_be_of(raw, region, number.country), raw
            # A renumbered number keeps its kind, too.
            assert number.kind is KIND_OF_TYPE[actual], raw
            if number.kind not in NumberPolicy().kinds:
                assert refusal(raw) is Refusal.KIND_REFUSED, raw
        else:
            # The shortest service numbers are no E.164 numbers of seven digits at all.
            refused = refusal(raw, EVERYTHING)
            assert refused is (Refusal.KIND_REFUSED if len(raw) > 7 else Refusal.MALFORMED), raw


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_an_unassigned_number_of_every_region_is_refused(region: str) -> None:
    found = phonenumbers.invalid_example_number(region)
    assert found is not None
    raw = phonenumbers.format_number(found, PhoneNumberFormat.E164)

    assert refusal(raw) in {Refusal.UNASSIGNED, Refusal.MALFORMED}


@pytest.mark.parametrize("code", sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS))
def test_numbers_of_no_country_need_a_setting(code: int) -> None:
    found = phonenumbers.example_number_for_non_geo_entity(code)
    assert found is not None
    raw = phonenumbers.format_number(found, PhoneNumberFormat.E164)

    assert refusal(raw) is Refusal.KIND_REFUSED
    if phonenumbers.number_type(found) in KIND_OF_TYPE:
        assert parse(raw, EVERYTHING).country == numbers.NO_COUNTRY


@pytest.mark.parametrize(
    "raw",
    [
        None, 4915112345678, 1.0, True, b"+14155552671", ["+14155552671"], {}, "",
        "+", "14155552671", "0014155552671", "++14155552671", "+14155552671+", "-14155552671",
        "+1 415 555 2671",
        " +14155552671", "+14155552671 ", "+14155552671\n", "\n+14155552671", "+1\t4155552671",
        "+1(415)5552671", "+1-415-555-2671", "+1.415.555.2671", "+1415555267a", "+1-800-FLOWERS",
        "+1800FLOWERS",
        "tel:+14155552671", "TEL:+14155552671", "sip:+14155552671@example.org", "+14155552671;ext=5",
        "+14155552671x5", "+14155552671#5", "+14155552671,5", "+14155552671 ext. 5",
        "+14155552671;phone-context=+1",
        # Digits of other scripts, and a fullwidth plus: int() and \d take them.
        "+１４１５５５５２６７１", "+١٤١٥٥٥٥٢٦٧١", "+१४१५५५५२६७१", "＋14155552671", "+1415555267¹",
        "+1４155552671", "+141555526٧١",
        "+1415555267①",
        # Invisible: zero width, joiner, soft hyphen, word joiner, BOM, bidi marks, isolates, NUL.
        "+1415\u200b5552671", "+1415\u200d5552671", "+1415\u00ad5552671", "+1415\u20605552671",
        "\ufeff+14155552671",
        "+14155552671\u200e", "\u202a+14155552671\u202c", "\u2066+14155552671\u2069", "+14155552671\u0000",
        "+1415\u00a05552671", "+1415\u20115552671",
        "+123456", "+1234567890123456", "+" + "1" * 5000, "+04155552671", "+0000000",
    ],
    ids=ascii,
)  # fmt: skip
def test_anything_but_a_plus_and_ascii_digits_is_malformed(raw: object) -> None:
    assert refusal(raw) is Refusal.MALFORMED


@pytest.mark.parametrize("raw", ["+9991234567", "+2101234567", "+14155550", "+19995552671", "+491", "+4915"])
def test_a_number_that_can_not_exist_is_refused(raw: str) -> None:
    assert refusal(raw) in {Refusal.UNASSIGNED, Refusal.MALFORMED}


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [("+4407400123456", "+447400123456"), ("+49015112345678", "+4915112345678"), ("+33 612345678", None)],
)
def test_a_trunk_prefix_that_slipped_in_is_dropped(raw: str, canonical: str | None) -> None:
    if canonical is None:
        assert refusal(raw) is Refusal.MALFORMED
    else:
        assert parse(raw).e164 == canonical


def test_an_italian_leading_zero_is_part_of_the_number() -> None:
    assert parse("+390236618300", EVERYTHING).e164 == "+390236618300"


@pytest.mark.parametrize(
    "kind", [NumberKind.PREMIUM, NumberKind.SHARED_COST, NumberKind.TOLL_FREE, NumberKind.UNKNOWN]
)
def test_no_setting_opens_numbers_that_cost(kind: NumberKind) -> None:
    with pytest.raises(ValueError, match=kind.value):
        NumberPolicy(kinds=frozenset({NumberKind.MOBILE, kind}))


def test_a_premium_number_is_refused_under_the_widest_policy() -> None:
    assert refusal("+19002345678", EVERYTHING) is Refusal.KIND_REFUSED
    assert refusal("+449012345678", EVERYTHING) is Refusal.KIND_REFUSED


def test_voip_and_personal_numbers_need_a_setting() -> None:
    voip = NumberPolicy(kinds=frozenset({NumberKind.VOIP}))

    assert refusal("+445612345678") is Refusal.KIND_REFUSED
    assert parse("+445612345678", voip).kind is NumberKind.VOIP


def test_a_landline_is_refused_in_words_that_say_so() -> None:
    with pytest.raises(NumberRefused) as caught:
        parse("+390236618300")
    assert caught.value.code == "phone_kind_refused"
    assert "landline" in caught.value.detail


@given(st.text(max_size=40) | st.binary(max_size=20) | st.none() | st.integers())
@example("+" + "9" * 15)
def test_parse_raises_nothing_but_its_refusal(raw: object) -> None:
    try:
        number = parse(raw, EVERYTHING)
    except NumberRefused:
        return
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", number.e164, re.ASCII)


@given(st.from_regex(r"\A\+[1-9][0-9]{6,14}\Z"))
def test_the_canonical_form_of_any_accepted_number_is_a_fixed_point(raw: str) -> None:
    try:
        number = parse(raw, EVERYTHING)
    except NumberRefused:
        return
    assert parse(number.e164, EVERYTHING) == number


def test_refusals_never_repeat_the_number() -> None:
    for raw in ("+19002345678", "+390236618300", "+9991234567", "tel:+14155552671"):
        with pytest.raises(NumberRefused) as caught:
            parse(raw)
        assert raw.lstrip("tel:+") not in f"{caught.value!r}{caught.value.detail}"


@pytest.mark.parametrize(
    ("e164", "masked"),
    [
        ("+79161234567", "+7*********67"),
        ("+14155552671", "+1*********71"),
        ("+2290190011234", "+229*********34"),
        ("+6834002", "+683*********2"),
        ("+29022158", "+290*********8"),
        ("+247123456", "+247*********56"),
    ],
)
def test_a_mask_keeps_the_country_code_and_the_end(e164: str, masked: str) -> None:
    assert mask(E164(e164)) == masked


def test_no_mask_of_any_region_leaves_fewer_than_a_hundred_candidates_or_tells_the_length() -> None:
    for _, _, raw in EXAMPLES:
        masked = mask(E164(raw))
        code = phonenumbers.parse(raw).country_code
        assert re.fullmatch(rf"\+{code}\*{{9}}\d{{1,2}}", masked), raw
        shown = len(masked.rsplit("*", 1)[1])
        hidden = len(raw) - 1 - len(str(code)) - shown
        assert hidden >= 3, raw


def test_a_number_in_a_log_line_is_masked() -> None:
    number = parse("+14155552671")

    assert "4155552671" not in f"{number!r} {number} {[number]}"
    assert isinstance(number, Number)


def test_the_geocoder_stays_unloaded() -> None:
    assert not [
        name for name in sys.modules if name.startswith(("phonenumbers.geodata", "phonenumbers.geocoder"))
    ]


def test_no_cache_keeps_numbers_in_memory() -> None:
    assert not hasattr(parse, "cache_info")
    assert "cache" not in inspect.getsource(numbers).replace("no cache", "")


def test_what_is_of_a_kind_is_what_phonenumbers_calls_valid() -> None:
    """`parse` asks only for the kind; the examples, and what is near them, say that this asks for both."""
    near = {raw[:-2] + tail for _, _, raw in EXAMPLES for tail in ("00", "9", "999", "47")}
    checked = 0
    for raw in {raw for _, _, raw in EXAMPLES} | near:
        try:
            found = phonenumbers.parse(raw, None)
        except phonenumbers.NumberParseException:
            continue
        is_of_a_kind = phonenumbers.region_code_for_number(found) is not None and (
            phonenumbers.number_type(found) != phonenumbers.PhoneNumberType.UNKNOWN
        )
        assert is_of_a_kind == phonenumbers.is_valid_number(found), raw
        checked += 1
    assert checked > len(EXAMPLES)
