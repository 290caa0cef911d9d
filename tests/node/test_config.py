"""Settings: one source, strict reading, every mistake named, no value repeated."""

import re
from pathlib import Path
from typing import Any

import pytest

from node import config as configuration
from node.birth import render_settings
from node.config import ConfigError, fields_of, meaning, parse, sections
from node.toml import value_text
from protocol.errors import MissingError
from tests.architecture.house import ROOT

GOOD = """
[node]
entity = "https://aurora.example"
[org]
display_name = "Aurora Freight"
countries = ["DE", "FR"]
"""

# name, text after GOOD's sections or instead of them, variables, the sentence
WRONG = [
    ("nothing", "", {}, "[node] entity is missing: it has no default"),
    ("no TOML", "[node]\nsecret = secret", {}, "mentormesh.toml is not TOML at line 2, column 10"),
    ("loose setting", "entity = 'x'\n" + GOOD, {}, "mentormesh.toml: `entity` must stand in a [section]"),
    ("unknown section", GOOD + "[limts]\nx = 1", {}, "[limts] is no section: did you mean limits?"),
    (
        "unknown setting",
        GOOD + "[limits]\nbody_byte = 1",
        {},
        "[limits] body_byte is no setting: did you mean body_bytes?",
    ),
    ("nothing near", GOOD + "[limits]\nzzzzqqq = 1", {}, "[limits] zzzzqqq is no setting"),
    ("wrong type", GOOD + "[limits]\nbody_s = 'secret'", {}, "[limits] body_s: expected `float`, got `str`"),
    ("out of bounds", GOOD + "[limits]\nconnections = 1", {}, "[limits] connections: expected `int` >= 8"),
    ("wrong word", GOOD + "[mail]\nmode = 'secret'", {}, "[mail] mode: not one of the allowed values"),
    ("wrong form", GOOD.replace("[org]", "listen = 'secret'\n[org]"), {}, "[node] listen: has not the documented form"),
    (
        "port too high",
        GOOD.replace("[org]", "listen = '127.0.0.1:70000'\n[org]"),
        {},
        "the port must be between 0 and 65535",
    ),
    ("half of TLS", GOOD + "[tls]\nkey = 'k.pem'", {}, "[tls] certificate and key belong together: set both or none"),
    ("no mail host", GOOD + "[mail]\nmode = 'smtp'", {}, '[mail] host is needed with mode = "smtp"'),
    ("keep over k", GOOD + "[editions]\nk = 3", {}, "[editions] keep must not be larger than k"),
    (
        "entity with port",
        GOOD.replace("aurora.example", "aurora.example:1"),
        {},
        "[node] entity: entity identifier must",
    ),
    ("plain api", GOOD.replace("[org]", "api_base = 'http://a.example'\n[org]"), {}, "[node] api_base: API base must"),
    (
        "countries unsorted",
        GOOD.replace('"DE", "FR"', '"FR", "DE"'),
        {},
        "[org] countries must be distinct and in alphab",
    ),
    ("name with tab", GOOD.replace("Freight", "\\t"), {}, "[org] display_name holds a control"),
    (
        "open without TLS",
        GOOD.replace("[org]", "listen = '0.0.0.0:1'\n[org]"),
        {},
        "[node] listen is open to other machines",
    ),
    (
        "open in development",
        GOOD.replace("[org]", "listen = '0.0.0.0:1'\n[org]") + "[development]\nenabled = true",
        {},
        "[node] listen must be a loopback address while [development] is enabled",
    ),
    (
        "connect_to in production",
        GOOD + '[development]\nconnect_to = { "https://b.example" = "127.0.0.1:1" }',
        {},
        "[development] connect_to works only with enabled = true",
    ),
    (
        "a balancer in production",
        GOOD + "[development]\nport = 8440",
        {},
        "[development] port works only with enabled = true",
    ),
    (
        "connect_to elsewhere",
        GOOD + '[development]\nenabled = true\nconnect_to = { "https://b.example" = "192.0.2.1:1" }',
        {},
        "[development] connect_to: every value must be a loopback HOST:PORT",
    ),
    (
        "database of another kind",
        GOOD + "[store]\nurl = 'mysql://secret/aurora'",
        {},
        "[store] url: has not the documented form",
    ),
    (
        "database with a password",
        GOOD + "[store]\nurl = 'postgresql://node:secret@db/aurora'",
        {},
        "[store] url: has not the documented form",
    ),
    (
        "database with a password behind it",
        GOOD + "[store]\nurl = 'postgresql:///aurora?password=secret'",
        {},
        "[store] url: put the password into a file",
    ),
    (
        "database in the clear",
        GOOD + "[store]\nurl = 'postgresql://node@secret.example/aurora?sslmode=prefer'",
        {},
        "[store] url: a database on another machine needs ?sslmode=verify-full",
    ),
    (
        "database in the clear by the word that counts",
        GOOD + "[store]\nurl = 'postgresql://node@secret.example/aurora?sslmode=verify-full&sslmode=disable'",
        {},
        "[store] url: a database on another machine needs ?sslmode=verify-full",
    ),
    (
        "second database in the clear",
        GOOD + "[store]\nurl = 'postgresql://node@localhost:5432,secret.example:5432/aurora'",
        {},
        "[store] url: a database on another machine",
    ),
    (
        "database at no address",
        GOOD + "[store]\nurl = 'postgresql://[secret/aurora'",
        {},
        "[store] url: the host is no",
    ),
    ("unknown variable", GOOD, {"MENTORMESH_NODE_LISTN": "x"}, "MENTORMESH_NODE_LISTN is no setting: did you mean"),
    (
        "variable of wrong form",
        GOOD,
        {"MENTORMESH_LIMITS_BODY_S": "secret"},
        "MENTORMESH_LIMITS_BODY_S must be written",
    ),
    ("variable of wrong word", GOOD, {"MENTORMESH_MAIL_MODE": "secret"}, "[mail] mode: not one of the allowed values"),
]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgresql:///aurora?host=%2Frun%2Fpostgresql",
        "postgresql://node@localhost/aurora",
        "postgres://node@[::1]:5433/aurora?search_path=aurora",
        "postgresql://node@db1.example:5432,db2.example/aurora?sslmode=verify-full",
    ],
)
def test_a_database_on_this_machine_or_behind_tls_is_taken(url: str) -> None:
    assert parse(GOOD + f"[store]\nurl = '{url}'", {}).store.url == url


@pytest.mark.parametrize(("text", "variables", "sentence"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_mistake_is_named_by_section_field_and_rule_and_never_repeated(
    text: str, variables: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, variables)
    assert any(problem.startswith(sentence) or sentence in problem for problem in caught.value.problems)
    assert "secret" not in str(caught.value)


def test_all_mistakes_are_found_in_one_go() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("[limts]\nx=1\n[limits]\nconnections=1\nbody_s='x'", {"MENTORMESH_X": "1"})
    assert len(caught.value.problems) == 7


def test_variables_go_before_the_file_and_the_file_before_defaults() -> None:
    text = GOOD + "[limits]\nbody_s = 3\nheader_s = 4"
    config = parse(text, {"MENTORMESH_LIMITS_BODY_S": "5", "MENTORMESH_DIR": "elsewhere", "HOME": "x"})
    assert (config.limits.body_s, config.limits.header_s, config.limits.stall_s) == (5.0, 4.0, 20.0)


def test_variables_give_text_as_it_is_and_everything_else_as_in_the_file() -> None:
    variables = {
        "MENTORMESH_ORG_DISPLAY_NAME": "12 Months",
        "MENTORMESH_ORG_LANGUAGES": '["de", "en"]',
        "MENTORMESH_DEVELOPMENT_ENABLED": "true",
        "MENTORMESH_DEVELOPMENT_CONNECT_TO": '{ "https://birch.example" = "127.0.0.1:8441" }',
    }
    config = parse(GOOD, variables)
    assert config.org.display_name == "12 Months"
    assert config.org.languages == ("de", "en")
    assert config.development.enabled
    assert config.development.connect_to == {"https://birch.example": "127.0.0.1:8441"}


def test_names_and_addresses_follow_from_the_entity() -> None:
    config = parse(GOOD, {})
    assert (config.name, config.api_base, config.authority) == ("aurora", "https://aurora.example", "aurora.example")
    assert (config.listen_host, config.listen_port) == ("127.0.0.1", 8440)
    assert config.page_base(1) == "https://aurora.example"


def test_pages_of_development_have_a_name_of_their_own() -> None:
    assert parse(GOOD + "[development]\nenabled = true", {}).page_base(99) == "http://aurora.localhost:99"


def test_the_api_may_live_at_another_name_than_the_entity() -> None:
    text = GOOD.replace("[org]", 'api_base = "https://mesh.aurora.example:8443"\nlisten = "[::1]:1"\n[org]')
    config = parse(text, {})
    assert (config.authority, config.listen_host) == ("mesh.aurora.example:8443", "::1")


def test_a_directory_without_settings_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="mentormesh init"):
        configuration.load(tmp_path, {})


def test_settings_that_are_not_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mentormesh.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        configuration.load(tmp_path, {})


@pytest.mark.parametrize("section", sections())
def test_every_setting_has_a_meaning_of_one_line(section: str) -> None:
    for name, field in fields_of(sections()[section]).items():
        words = meaning(field)
        assert words.endswith("."), (section, name)
        assert "\n" not in words


def test_written_settings_are_read_back_the_same() -> None:
    settings: dict[str, dict[str, Any]] = {
        "node": {"entity": "https://aurora.example"},
        "org": {"display_name": 'A "quoted" \\ name – ünïcode', "countries": ["DE"]},
        "development": {"enabled": True, "connect_to": {"https://b.example": "127.0.0.1:1"}},
        "limits": {"body_s": 0.5, "connections": 9},
    }
    config = parse(render_settings(settings), {})
    assert config.org.display_name == settings["org"]["display_name"]
    assert config.development.connect_to == settings["development"]["connect_to"]
    assert (config.limits.body_s, config.limits.connections) == (0.5, 9)


@pytest.mark.parametrize(("value", "text"), [(True, "true"), ([], "[]"), ({}, "{}"), ("\x7f", '"\\u007f"'), (3, "3")])
def test_values_are_written_as_toml(value: object, text: str) -> None:
    assert value_text(value) == text


def test_variables_of_other_commands_are_no_mistakes() -> None:
    named = {
        name
        for path in [*(ROOT / "cli").rglob("*.py"), ROOT / "tests" / "third_party.py"]
        for name in re.findall(r'"(MENTORMESH_[A-Z]+)"', path.read_text(encoding="utf-8"))
    }
    assert {"MENTORMESH_DIR", "MENTORMESH_HOME", "MENTORMESH_PASSPHRASE"} <= named
    parse(GOOD, dict.fromkeys(named, "x"))
