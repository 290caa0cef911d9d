"""Tests of what mails say."""

import re
from email.headerregistry import Address
from html import unescape
from pathlib import Path

import msgspec
import pytest

from node.services import mail_text, notices
from node.services.mail_text import LANGUAGES, TEMPLATES, choose_language, message, say_time, word
from node.services.notices import (
    Agreed,
    AnyNotice,
    Cancelled,
    KeysChanged,
    MentorRequest,
    NewDevice,
    Notice,
    Reminder,
    ReportCame,
    RequestEnded,
    SignInLink,
    SlotLink,
    decode_notice,
    encode_notice,
)

LINK = "https://aurora.example/x?a=1&b=2"
ZONE = "Europe/Berlin"
AT = 1_800_000_000  # Friday 15 January 2027, 09:00 in Berlin
REQUEST = MentorRequest(
    topic="Presenting to the board",
    format="call",
    length=30,
    slots=tuple(SlotLink(start=AT + hour * 3600, link=f"{LINK}&slot={hour}") for hour in range(3)),
    other_time=f"{LINK}&other",
    decline=f"{LINK}&decline",
    decline_and_pause=f"{LINK}&pause",
    deadline=AT,
    zone=ZONE,
)
NOTICES: tuple[AnyNotice, ...] = (
    SignInLink(link=LINK, minutes=15),
    NewDevice(hint="A laptop", first=True, added_on=AT),
    NewDevice(hint="", first=False, added_on=AT),
    NewDevice(hint="", first=False, regained=True, added_on=AT),
    KeysChanged(changed_on=AT),
    REQUEST,
    msgspec.structs.replace(REQUEST, topic="", format="text", slots=(), accept=f"{LINK}&accept"),
    Agreed(role="mentor", format="call", length=45, start=AT, cancel=LINK, zone=ZONE),
    Agreed(role="mentee", format="text", length=30, zone=ZONE),
    RequestEnded(outcome="declined", goes_on=True),
    RequestEnded(outcome="expired", goes_on=False),
    Reminder(format="in-person", length=60, start=AT, cancel=LINK, zone=ZONE),
    Reminder(format="link", length=60, start=AT, zone=ZONE),
    Cancelled(start=AT, zone=ZONE),
    Cancelled(zone=ZONE),
    ReportCame(due=AT, zone=ZONE),
)


def links(text: str) -> set[str]:
    return set(re.findall(r"https://[^\s'\"<]+", text))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("notice", NOTICES, ids=lambda notice: type(notice).__name__)
def test_every_notice_has_words_in_every_language(notice: AnyNotice, language: str) -> None:
    words = word(decode_notice(encode_notice(notice)), language)
    assert 8 <= len(words.subject) < 70
    assert "\n" not in words.subject
    assert words.html.startswith(f'<!doctype html>\n<html lang="{language}">')
    assert all(len(line) <= 100 for line in words.text.splitlines() if "http" not in line)
    assert "<" not in words.text
    assert links(unescape(words.html)) == links(words.text)
    assert "{" not in words.text + words.html


def test_every_kind_of_notice_is_tried_above_and_has_its_templates() -> None:
    assert {type(notice) for notice in NOTICES} == set(Notice.__subclasses__())
    named = {
        f"{kind.__struct_config__.tag}.{language}.j2" for kind in Notice.__subclasses__() for language in LANGUAGES
    }
    assert {path.name for path in TEMPLATES.iterdir()} == named | {"layout.html.j2"}


def test_a_request_carries_every_way_to_answer() -> None:
    text = word(REQUEST, "en").text
    assert [f"&slot={number}" in text for number in range(3)] == [True] * 3
    for link in (REQUEST.other_time, REQUEST.decline, REQUEST.decline_and_pause):
        assert f"  {link}\n" in text
    assert "Accept Friday 15 January 2027, 09:00 (Europe/Berlin):" in text
    assert "Topic: Presenting to the board" in " ".join(text.split())


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_subject_tells_the_topic(language: str) -> None:
    assert "board" not in word(REQUEST, language).subject
    sensitive = word(msgspec.structs.replace(REQUEST, topic=""), language)
    assert not re.search("Topic|Thema", sensitive.text)


def test_no_notice_has_room_for_anybodys_words() -> None:
    kinds: tuple[type[msgspec.Struct], ...] = (*Notice.__subclasses__(), SlotLink)
    free = {
        f"{kind.__name__}.{field.name}"
        for kind in kinds
        for field in msgspec.structs.fields(kind)
        if isinstance(info := _bare(field.type), msgspec.inspect.StrType) and info.pattern is None
    }
    # A label of the vocabulary, and what the owner of a device called it.
    assert free == {"MentorRequest.topic", "NewDevice.hint"}


def _bare(kind: object) -> msgspec.inspect.Type:
    info = msgspec.inspect.type_info(kind)
    return info.type if isinstance(info, msgspec.inspect.Metadata) else info


def test_what_stands_in_a_notice_is_escaped_in_html_and_plain_in_text() -> None:
    words = word(NewDevice(hint="<b>&'\"", first=True, added_on=AT), "en")
    assert "&lt;b&gt;&amp;&#39;&#34;" in words.html
    assert "<b>" not in words.html
    assert "<b>&'\"" in words.text


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "https://a.example/ x", "https://a.example/\nx", "//a.example"]
)
def test_only_web_links_get_into_a_mail(link: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        encode_notice(SignInLink(link=link, minutes=15))


@pytest.mark.parametrize(
    ("zone", "language", "said"),
    [
        ("Europe/Berlin", "en", "Friday 15 January 2027, 09:00 (Europe/Berlin)"),
        ("Europe/Berlin", "de", "Freitag, 15. Januar 2027, 09:00 (Europe/Berlin)"),
        ("America/New_York", "en", "Friday 15 January 2027, 03:00 (America/New_York)"),
    ],
)
def test_times_are_local_and_name_their_zone(zone: str, language: str, said: str) -> None:
    assert say_time(AT, zone, language) == said


@pytest.mark.parametrize(
    ("spoken", "default", "chosen"),
    [(("fr", "de-AT"), "en", "de"), ((), "de", "de"), (("fr",), "es", "en"), (("",), "en", "en")],
)
def test_the_first_language_with_templates_is_taken(spoken: tuple[str, ...], default: str, chosen: str) -> None:
    assert choose_language(spoken, default) == chosen


@pytest.mark.parametrize("subject", ["a\nBcc: eve@evil.example", "a\r\nX: y"])
def test_a_line_break_in_a_header_is_a_mistake(subject: str) -> None:
    words = mail_text.Words(subject=subject, text="", html="")
    with pytest.raises(ValueError, match="Header values may not contain"):
        message(words, sender=Address("A", "a", "b.example"), recipient="c@d.example", mail="x", at=AT, language="en")


def test_the_module_of_notices_imports_no_template_engine() -> None:
    assert "jinja2" not in Path(notices.__file__).read_text(encoding="utf-8")
