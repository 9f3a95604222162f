"""Segments, against `smsutil` as a second opinion."""

import pytest
import smsutil
from hypothesis import given
from hypothesis import strategies as st
from smsutil.codecs import GSM_BASIC_CHARSET, GSM_EXT_CHARSET

from sms.segments import Encoding, Segments, count

# smsutil counts the escape itself as a character, which TS 23.038 says it is not.
GSM_7 = GSM_BASIC_CHARSET.replace("\x1b", "") + GSM_EXT_CHARSET


@pytest.mark.parametrize(
    ("body", "encoding", "units", "segments"),
    [
        ("", Encoding.GSM_7, 0, 1),
        ("a" * 160, Encoding.GSM_7, 160, 1),
        ("a" * 161, Encoding.GSM_7, 161, 2),
        ("a" * 306, Encoding.GSM_7, 306, 2),
        ("a" * 307, Encoding.GSM_7, 307, 3),
        ("€" * 80, Encoding.GSM_7, 160, 1),
        ("€" * 81, Encoding.GSM_7, 162, 2),
        ("ж" * 70, Encoding.UCS_2, 70, 1),
        ("ж" * 71, Encoding.UCS_2, 71, 2),
        ("ж" * 134, Encoding.UCS_2, 134, 2),
        ("ж" * 135, Encoding.UCS_2, 135, 3),
        ("😀" * 35, Encoding.UCS_2, 70, 1),
        ("😀" * 36, Encoding.UCS_2, 72, 2),
        ("code\x1b", Encoding.UCS_2, 5, 1),
        ("ñ é à ü ¿ ¡ Ω", Encoding.GSM_7, 13, 1),
        ("á", Encoding.UCS_2, 1, 1),
        ("ç", Encoding.UCS_2, 1, 1),
    ],
)
def test_the_limits_are_160_153_70_and_67(body: str, encoding: Encoding, units: int, segments: int) -> None:
    assert count(body) == Segments(encoding=encoding, units=units, segments=segments)


def test_an_escape_is_not_torn_from_its_character() -> None:
    # 306 units would be two full segments, but 152 and a two-unit character do not fit into 153.
    body = "a" * 152 + "€" + "b" * 152

    assert count(body) == Segments(encoding=Encoding.GSM_7, units=306, segments=3)


def test_a_surrogate_pair_is_not_torn_apart() -> None:
    body = "ж" * 66 + "😀" + "ж" * 66

    assert count(body) == Segments(encoding=Encoding.UCS_2, units=134, segments=3)


@pytest.mark.parametrize("character", GSM_7, ids=ascii)
def test_every_character_of_the_alphabet_has_its_width(character: str) -> None:
    assert count(character) == Segments(
        encoding=Encoding.GSM_7, units=2 if character in GSM_EXT_CHARSET else 1, segments=1
    )


@given(st.text(GSM_7, min_size=1, max_size=700))
def test_gsm_7_agrees_with_smsutil(body: str) -> None:
    judged = smsutil.split(body)

    assert count(body).units == judged.total_bytes
    assert count(body).segments == max(1, len(judged.parts))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1b"), min_size=1, max_size=300))
def test_any_text_agrees_with_smsutil(body: str) -> None:
    judged = smsutil.split(body)
    counted = count(body)

    assert (counted.encoding is Encoding.GSM_7) == (judged.encoding == "gsm0338")
    width = 1 if counted.encoding is Encoding.GSM_7 else 2
    assert counted.units == judged.total_bytes // width
    assert counted.segments == max(1, len(judged.parts))
