# SPDX-License-Identifier: GPL-3.0-or-later
"""A caller's number goes in and never comes out; the name in the room is built from nothing else.

All numbers here are invented.
"""

from __future__ import annotations

import copy
import dataclasses
import gc
import json
import logging
import pickle  # noqa: TID251 - to see it refuse
import re
import traceback
from collections.abc import Callable
from urllib.parse import unquote

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dialin.caller import (
    PSEUDONYM_DIGITS,
    Caller,
    RoomLabels,
    readings,
    says_withheld,
)
from dialin.errors import OperatorError

MOBILE = "+4915738620594"
KEY = bytes(range(32))
ROOM = ("bbb", "physics")

LABEL = re.compile(r"[A-Za-z0-9 ().-]{1,32}")


def german(text: str) -> Caller:
    return Caller.parse(text, region="DE")


class TestDigitsShown:
    """min(4, max(0, n - 5)) of an n-digit number."""

    @pytest.mark.parametrize(
        ("number", "shown"),
        [
            (MOBILE, "0594"),
            ("+493012345678", "5678"),
            ("+49301234", "234"),
            ("+123456789012345", "2345"),
            ("123456789", "6789"),
            ("12345678", "678"),
            ("1234567", "67"),
            ("123456", "6"),
            ("12345", ""),
            ("7042", ""),
            ("1", ""),
        ],
    )
    def test_depend_on_the_length(self, number: str, shown: str) -> None:
        caller = Caller.parse(number, region=None)
        assert (caller.digits_shown, caller.is_withheld) == (shown, False)

    @given(st.text("0123456789", min_size=1, max_size=15))
    def test_never_more_than_the_rule_allows(self, digits: str) -> None:
        caller = german(f"+{digits}")
        shown = caller.digits_shown
        assert len(shown) <= min(4, max(0, len(digits) - 5))
        assert digits.endswith(shown)

    @given(st.text("0123456789", max_size=7))
    def test_of_a_houses_extension_count_as_received(self, digits: str) -> None:
        shown = german(digits).digits_shown
        assert len(shown) <= max(0, len(digits) - 5)

    @pytest.mark.parametrize("prefix", ["0", "00", "+"])
    def test_no_prefix_makes_an_extension_look_longer(self, prefix: str) -> None:
        assert german(f"{prefix}7042").digits_shown == ""


class TestForms:
    """One number is one caller, however a trunk writes it."""

    @pytest.mark.parametrize(
        "text",
        [
            "+4915738620594",
            "4915738620594",
            "004915738620594",
            "015738620594",
            "+49-1573-8620594",
            "+49 (0)1573 862 05 94",
            "+49.1573.8620594",
            "%2B4915738620594",
            "tel:+49-1573-8620594",
            "TEL:+4915738620594",
            "+4915738620594;phone-context=+49",
            "015738620594;phone-context=+49",
            "+4915738620594;npdi;verstat=TN-Validation-Passed",
            "  +4915738620594 ",
        ],
    )
    def test_give_one_reading_label_and_pseudonym(self, text: str) -> None:
        caller = german(text)
        assert readings(text, "DE")[0] == MOBILE
        assert caller.digits_shown == "0594"
        assert caller.pseudonym(KEY, "m") == german(MOBILE).pseudonym(KEY, "m")

    def test_a_number_without_prefix_is_international_before_it_is_national(self) -> None:
        assert readings("33612345678", "DE") == ("+33612345678", "+4933612345678")

    def test_a_country_without_a_national_prefix_is_read_by_its_region(self) -> None:
        assert readings("2125551234", "US") == ("+12125551234",)
        assert readings("01149301234567", "US") == ("+49301234567",)

    def test_a_national_number_needs_a_region(self) -> None:
        assert readings("015738620594", None) == ()
        assert Caller.parse("015738620594", region=None).digits_shown == "0594"

    def test_a_local_number_is_not_joined_to_its_context(self) -> None:
        # Joined, +49 30 7042 would have eight digits and show three of a house's four.
        assert german("7042;phone-context=+4930").digits_shown == ""

    @given(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)))
    def test_every_countrys_example_number_survives_all_international_forms(
        self, region: str
    ) -> None:
        example = phonenumbers.example_number(region)
        if example is None:
            return
        e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        for form in (e164, f"00{e164[1:]}", e164.replace("+", "%2B")):
            assert readings(form, "DE") == (e164,)


class TestWithheld:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "anonymous",
            "Restricted",
            "unavailable",
            "alice",
            "+49alice",
            "0x49",
            "000000",
            "0000000000",
            MOBILE.translate({0x30 + digit: 0x660 + digit for digit in range(10)}),  # Arabic-Indic
            MOBILE.translate({0x30 + digit: 0xFF10 + digit for digit in range(10)}),  # full-width
            "+49\N{SUPERSCRIPT TWO}15738620594",
            "*31#4915738620594",
            "%252B4915738620594",
            "1234567890123456",  # 16 digits: no telephone number
            "4" * 40,
            "+4915738620594@example.org",
            "\x00",
            "++4915738620594",
        ],
    )
    def test_is_what_is_no_number(self, text: str) -> None:
        caller = german(text)
        assert (caller.is_withheld, caller.digits_shown) == (True, "")

    def test_of_a_caller_who_asked_for_it(self) -> None:
        assert Caller.withheld().is_withheld

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Anonymous", True),
            ("PRIVATE NUMBER", True),
            ("unknown", True),
            ("Caller-ID restricted", True),
            ("number unavailable", True),
            ("Privateer Ltd", False),
            ("Ada Lovelace", False),
            ("", False),
        ],
    )
    def test_is_told_by_a_word(self, text: str, expected: bool) -> None:
        assert says_withheld(text) is expected

    @given(st.text(), st.sampled_from([None, "DE", "US", "XX"]))
    def test_reading_is_total(self, text: str, region: str | None) -> None:
        caller = Caller.parse(text, region=region)
        assert caller.is_withheld or re.search("[0-9]", unquote(text))


@dataclasses.dataclass(frozen=True)
class Holder:
    caller: Caller


def leaks(text: str) -> bool:
    """Whether text shows more of MOBILE than its last four digits."""
    return bool(re.search(r"2\W*0\W*5\W*9\W*4", text)) or "5738" in text


class TestNothingLeaks:
    @pytest.mark.parametrize(
        "show",
        [
            repr,
            str,
            "{}".format,
            "{!r:>40}".format,
            "%s".__mod__,
            lambda caller: f"{caller:>40}",
            lambda caller: repr(Holder(caller)),
            lambda caller: repr(dataclasses.asdict(Holder(caller))),
            lambda caller: repr(dataclasses.astuple(Holder(caller))),
            lambda caller: repr(copy.copy(caller)),
            lambda caller: repr(copy.deepcopy([caller])),
            lambda caller: json.dumps({"caller": caller}, default=str),
            lambda caller: repr([getattr(caller, name) for name in dir(caller)]),
            lambda caller: repr(gc.get_referents(caller)),
            lambda caller: caller.masked,
        ],
    )
    def test_in_any_form_but_the_mask(self, show: Callable[[Caller], str]) -> None:
        assert not leaks(show(german(MOBILE)))

    def test_the_mask_itself(self) -> None:
        assert repr(german(MOBILE)) == "Caller(xxx-xxx-0594)"
        assert str(german("7042")) == "xxx-xxx-xxxx"
        assert f"{Caller.withheld():>10}" == "  withheld"

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_by_pickling(self, protocol: int) -> None:
        caller = german(MOBILE)
        with pytest.raises(TypeError, match="not to be stored"):
            pickle.dumps(caller, protocol)
        with pytest.raises(TypeError, match="not to be stored"):
            object.__reduce_ex__(caller, protocol)

    def test_by_vars(self) -> None:
        with pytest.raises(TypeError):
            vars(german(MOBILE))

    def test_by_a_traceback_with_locals(self) -> None:
        caller = german(MOBILE)
        with pytest.raises(ValueError, match="16 octets") as failed:
            caller.pseudonym(b"short", "m")
        trace = traceback.TracebackException.from_exception(failed.value, capture_locals=True)
        text = "".join(trace.format())
        assert "Caller(xxx-xxx-0594)" in text
        assert not leaks(text)

    def test_by_logging_at_debug(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        logging.getLogger("dialin.test").debug("call from %s, %r", german(MOBILE), german(MOBILE))
        assert caplog.messages == ["call from xxx-xxx-0594, Caller(xxx-xxx-0594)"]

    def test_by_comparing(self) -> None:
        # Equality by number would let anybody who can make a Caller try numbers out.
        first, second = german(MOBILE), german(MOBILE)
        assert first != second
        assert first == copy.deepcopy(first)
        assert hash(first) == hash(copy.copy(first))
        assert len({first, second}) == 2


class TestPseudonym:
    def test_is_a_number_that_bbb_takes(self) -> None:
        pseudonym = german(MOBILE).pseudonym(KEY, "physics")
        assert re.fullmatch(r"[1-9][0-9]{14}", pseudonym)
        assert len(pseudonym) == PSEUDONYM_DIGITS

    def test_is_the_same_for_a_caller_who_calls_the_meeting_again(self) -> None:
        first, again = german(MOBILE), german("015738620594")
        assert first.pseudonym(KEY, "physics") == again.pseudonym(KEY, "physics")

    def test_differs_between_callers_meetings_and_keys(self) -> None:
        caller, other = german(MOBILE), german("+4915738620595")
        values = {
            caller.pseudonym(KEY, "physics"),
            caller.pseudonym(KEY, "maths"),
            caller.pseudonym(bytes(32), "physics"),
            other.pseudonym(KEY, "physics"),
        }
        assert len(values) == 4

    def test_of_withheld_callers_are_their_own(self) -> None:
        # A ban of one must not hit the other: BBB bans by this number.
        first, second = Caller.withheld(), Caller.withheld()
        assert first.pseudonym(KEY, "m") != second.pseudonym(KEY, "m")
        assert first.pseudonym(KEY, "m") == first.pseudonym(KEY, "m")

    @given(st.text(), st.binary(min_size=16, max_size=64))
    def test_holds_for_any_meeting_id(self, meeting_id: str, key: bytes) -> None:
        assert re.fullmatch(r"[1-9][0-9]{14}", german(MOBILE).pseudonym(key, meeting_id))


class TestGuessIdentity:
    def test_is_the_callers_under_one_key_and_nobodys_under_another(self) -> None:
        identity = german(MOBILE).guess_identity(KEY)
        assert identity
        assert re.fullmatch(r"[0-9a-f]{16}", identity)
        assert german(MOBILE).guess_identity(KEY) == identity
        assert german(MOBILE).guess_identity(bytes(32)) != identity
        assert german("+4915738620595").guess_identity(KEY) != identity

    def test_is_no_pseudonym(self) -> None:
        caller = german(MOBILE)
        identity, pseudonym = caller.guess_identity(KEY), caller.pseudonym(KEY, "")
        assert identity
        assert str(int(identity, 16))[:15] != pseudonym

    def test_is_none_without_a_number(self) -> None:
        assert Caller.withheld().guess_identity(KEY) is None

    def test_wants_a_key_that_cannot_be_tried(self) -> None:
        with pytest.raises(ValueError, match="16 octets"):
            german(MOBILE).guess_identity(b"short")


class TestRoomLabels:
    def test_show_the_last_four_digits(self) -> None:
        assert RoomLabels().claim(ROOM, german(MOBILE)) == "xxx-xxx-0594"

    def test_of_two_callers_with_the_same_digits_are_two(self) -> None:
        labels = RoomLabels()
        assert labels.claim(ROOM, german(MOBILE)) == "xxx-xxx-0594"
        assert labels.claim(ROOM, german("+493012340594")) == "xxx-xxx-0594 (2)"
        assert labels.claim(ROOM, german(MOBILE)) == "xxx-xxx-0594 (3)"

    def test_count_withheld_callers_in_each_room(self) -> None:
        labels = RoomLabels()
        assert labels.claim(ROOM, Caller.withheld()) == "Phone caller 1"
        assert labels.claim(ROOM, german("7042")) == "Phone caller 2"
        assert labels.claim(("bbb", "maths"), Caller.withheld()) == "Phone caller 1"

    def test_hide_the_digits_when_the_caller_asks_for_it(self) -> None:
        assert RoomLabels().claim(ROOM, german(MOBILE), hide_digits=True) == "Phone caller 1"

    def test_of_a_caller_who_left_are_given_again(self) -> None:
        labels = RoomLabels()
        first = labels.claim(ROOM, german(MOBILE))
        labels.claim(ROOM, german(MOBILE))
        labels.release(ROOM, first)
        assert labels.claim(ROOM, german(MOBILE)) == "xxx-xxx-0594"

    def test_of_an_empty_room_are_forgotten(self) -> None:
        labels = RoomLabels()
        labels.release(ROOM, labels.claim(ROOM, german(MOBILE)))
        labels.release(ROOM, "never claimed")
        assert not labels._taken

    def test_who_waits_is_shown_as_they_will_be_but_for_what_tells_them_from_others(self) -> None:
        labels = RoomLabels()
        labels.claim(ROOM, german(MOBILE))
        assert labels.preview(german(MOBILE)) == "xxx-xxx-0594"
        assert labels.preview(german(MOBILE), hide_digits=True) == "Phone caller"
        assert labels.preview(Caller.withheld()) == "Phone caller"

    def test_follow_the_operators_templates(self) -> None:
        labels = RoomLabels(number="Telefon ...{digits}", withheld="Telefon (anonym) {n}")
        assert labels.claim(ROOM, german(MOBILE)) == "Telefon ...0594"
        assert labels.claim(ROOM, Caller.withheld()) == "Telefon (anonym) 1"

    def test_of_both_kinds_never_meet(self) -> None:
        labels = RoomLabels(number="Phone {digits}", withheld="Phone {n}")
        taken = [labels.claim(ROOM, german("1234561")), labels.claim(ROOM, Caller.withheld())]
        taken.append(labels.claim(ROOM, german("1234561")))
        assert taken == ["Phone 61", "Phone 1", "Phone 61 (2)"]

    @pytest.mark.parametrize(
        "template",
        [
            "no placeholder",
            "{digits}",
            "Phone {digits} {digits}",
            "-bbbID-{digits}",
            "x_1-bbbID-{digits}",
            "BBB-id {digits}",
            "GLOBAL_AUDIO_{digits}",
            "LISTENONLY {digits}",
            "Listen only {digits}",
            "%47LOBAL {digits}",
            "Telefon …{digits}",
            "Phone\n{digits}",
            " Phone {digits}",
            "Phone {digits} ",
            "000000{digits}",
            "Phone {digits.__class__}",
            "Phone caller of this house {digits}",
            "\u202ePhone {digits}",
            '"Phone" {digits}',
            "${digits}",
        ],
    )
    def test_refuse_a_template_that_bbb_could_misread(self, template: str) -> None:
        with pytest.raises(OperatorError, match="cannot be shown"):
            RoomLabels(number=template)
        with pytest.raises(OperatorError, match="cannot be shown"):
            RoomLabels(withheld=template.replace("{digits}", "{n}"))

    @given(st.lists(st.text(), max_size=8), st.booleans())
    def test_are_safe_whatever_the_callers_wrote(self, texts: list[str], hide: bool) -> None:
        labels = RoomLabels()
        claimed = [labels.claim(ROOM, german(text), hide_digits=hide) for text in texts]
        assert len(set(claimed)) == len(claimed)
        for label in claimed:
            assert_bbb_reads_a_phone_caller(label)


def assert_bbb_reads_a_phone_caller(label: str) -> None:
    """The label matches nothing BBB takes for an identity or refuses (ESLEventListener.java,
    bbb_conference.xml), as it stands and as FreeSWITCH percent-decodes it."""
    assert LABEL.fullmatch(label)
    for seen in (label, unquote(label)):
        assert not re.match(r"(GLOBAL_AUDIO)_(.*)$", seen)
        assert not re.match(r"(.*)-bbbID-(.*)", seen)
        assert not re.match("LISTENONLY", seen, re.IGNORECASE)
        assert not re.match(
            "^(0000000000|anonymous|unknown|private|restricted|withheld)$", seen, re.IGNORECASE
        )
        assert seen.isascii()
        assert seen.isprintable()
        assert seen.strip() == seen != ""


class LabelsOverTime(RuleBasedStateMachine):
    """Callers come and go: no two in a room ever share a name, and an empty room leaves nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.labels = RoomLabels()
        self.present: list[tuple[str, str]] = []

    @rule(
        room=st.sampled_from(["a", "b"]),
        number=st.sampled_from([MOBILE, "+493012340594", "7042", "anonymous"]),
        hide=st.booleans(),
    )
    def somebody_comes(self, room: str, number: str, hide: bool) -> None:
        label = self.labels.claim(room, german(number), hide_digits=hide)
        assert (room, label) not in self.present
        self.present.append((room, label))
        ordinal = re.search(r" \(?(\d+)\)?$", label)
        assert int(ordinal[1] if ordinal else 1) <= sum(one == room for one, _ in self.present)

    @precondition(lambda self: self.present)
    @rule(data=st.data())
    def somebody_leaves(self, data: st.DataObject) -> None:
        self.labels.release(*self.present.pop(data.draw(st.integers(0, len(self.present) - 1))))

    @invariant()
    def nothing_is_kept_of_those_who_left(self) -> None:
        assert sum(map(len, self.labels._taken.values())) == len(self.present)


TestLabelsOverTime = LabelsOverTime.TestCase
