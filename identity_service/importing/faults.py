"""What can be wrong with a line of an import, each with a stable code and a sentence."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Fault(IntEnum):
    """One line's fault, as it stands in a column of bytes.  `code` is its stable name."""

    NONE = 0
    LINE_MALFORMED = 1
    KEY_REPEATED = 2
    FIELD_UNKNOWN = 3
    EXTERNAL_ID_INVALID = 4
    INVITER_INVALID = 5
    JOINED_AT_INVALID = 6
    JOINED_IN_FUTURE = 7
    LAST_SEEN_INVALID = 8
    STATE_UNKNOWN = 9
    CAMPAIGN_INVALID = 10
    TWO_ORIGINS = 11
    PHONE_MALFORMED = 12
    PHONE_UNASSIGNED = 13
    PHONE_KIND_REFUSED = 14
    PHONE_OF_ERASED = 15
    EXTERNAL_ID_REPEATED = 16
    PHONE_REPEATED = 17
    INVITER_UNKNOWN = 18
    CYCLE = 19
    JOINED_BEFORE_INVITER = 20
    INVITER_DIFFERS = 21
    PHONE_TAKEN = 22
    INVITER_REFUSED = 23

    @property
    def code(self) -> str:
        return self.name.lower()


MEANING: Final = {
    Fault.LINE_MALFORMED: "The line is no record: wrong quotes, more or fewer values than columns, no JSON"
    " object, not UTF-8, or longer than 64 KiB.",
    Fault.KEY_REPEATED: "A field stands twice in this line.",
    Fault.FIELD_UNKNOWN: "There is a field that no import has.",
    Fault.EXTERNAL_ID_INVALID: "external_id is 1 to 255 printable characters, at most 128 bytes in UTF-8.",
    Fault.INVITER_INVALID: "inviter_external_id is an external_id, or empty for a seed.",
    Fault.JOINED_AT_INVALID: "joined_at is an RFC 3339 time with its zone, or a date, from 1970 on.",
    Fault.JOINED_IN_FUTURE: "joined_at is in the future.",
    Fault.LAST_SEEN_INVALID: "last_seen_at is a time like joined_at, not before it and not in the future.",
    Fault.STATE_UNKNOWN: "state is active, suspended, banned or erased.",
    Fault.CAMPAIGN_INVALID: "campaign is 1 to 100 letters, digits, dots, dashes and underscores, the first a"
    " letter or digit.",
    Fault.TWO_ORIGINS: "A member came by an inviter or by a campaign, not by both.",
    Fault.PHONE_MALFORMED: "phone is + and 7 to 15 digits (E.164).",
    Fault.PHONE_UNASSIGNED: "There is no such phone number in any country.",
    Fault.PHONE_KIND_REFUSED: "This kind of phone number is not accepted.",
    Fault.PHONE_OF_ERASED: "An erased member has no phone.",
    Fault.EXTERNAL_ID_REPEATED: "Line {line} has this external_id, too.",
    Fault.PHONE_REPEATED: "Line {line} has this phone, too.",
    Fault.INVITER_UNKNOWN: "The inviter is neither in the file nor a member.",
    Fault.CYCLE: "The inviters of these members lead back to themselves.",
    Fault.JOINED_BEFORE_INVITER: "The member joined before its inviter did.",
    Fault.INVITER_DIFFERS: "This member is there already, with another inviter or campaign.",
    Fault.PHONE_TAKEN: "The phone is another member's already.",
    Fault.INVITER_REFUSED: "The inviter is not imported: line {line} is refused.",
}
