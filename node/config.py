"""Reads the configuration of a node: `mentormesh.toml`, then `MENTORMESH_SECTION_FIELD` variables on top.

Strict: every mistake is found in one go and named by section, field and rule; an unknown name is refused with the
nearest one. Values are never repeated, because some are secret.
"""

import ipaddress
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from protocol.addresses import parse_api
from protocol.encoding import broken_rule
from protocol.errors import MalformedError, MeshError, MissingError
from protocol.ids import parse_entity
from protocol.offers import check_org_name

from .sections import Config, Section

FILE_NAME: Final = "mentormesh.toml"
PREFIX: Final = "MENTORMESH_"
#: Values of `sslmode` in a database URL that do without TLS under no circumstances.
_ENCRYPTED: Final = frozenset({"require", "verify-ca", "verify-full"})
#: Variables of the program and its tests that are not settings of a node.
OTHER_VARIABLES: Final = frozenset({"MENTORMESH_DIR", "MENTORMESH_HOME", "MENTORMESH_DATA", "MENTORMESH_PASSPHRASE"})

Tree = dict[str, dict[str, Any]]


class ConfigError(MalformedError):
    """The configuration cannot be used; `problems` has one sentence for each mistake."""

    code = "config"

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def load(directory: Path, environment: Mapping[str, str]) -> Config:
    """Return the configuration of the node in `directory`.

    Raises: MissingError: no file. ConfigError: not TOML, or settings that break a rule.
    """
    try:
        text = (directory / FILE_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingError(f"there is no {FILE_NAME} here: run `mentormesh init`, or name the node's --dir") from None
    except (OSError, UnicodeDecodeError):
        raise ConfigError((f"{FILE_NAME} cannot be read as UTF-8 text by this user",)) from None
    return parse(text, environment)


def parse(text: str, environment: Mapping[str, str]) -> Config:
    """Return the configuration of a TOML text and variables. Raises: ConfigError."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((f"{FILE_NAME} is not TOML{_position(error)}",)) from None
    problems = [
        f"{FILE_NAME}: `{name}` must stand in a [section]" for name, v in tree.items() if not isinstance(v, dict)
    ]
    tree = {name: value for name, value in tree.items() if isinstance(value, dict)}
    problems += list(_overlay(tree, environment))
    made, found = _sections(tree)
    problems += found
    if problems:
        raise ConfigError(tuple(problems))
    config = Config(**made)
    if broken := tuple(_rules(config)):
        raise ConfigError(broken)
    return config


@cache
def fields_of(section: type[Section]) -> Mapping[str, msgspec.structs.FieldInfo]:
    """Return the fields of a section by name."""
    return {field.name: field for field in msgspec.structs.fields(section)}


@cache
def sections() -> Mapping[str, type[Section]]:
    """Return the section types by name, in the order of the file."""
    return {field.name: field.type for field in msgspec.structs.fields(Config)}


def _position(error: tomllib.TOMLDecodeError) -> str:
    """Return " at line N" without the text that tomllib quotes."""
    match = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
    return f" at line {match[1]}, column {match[2]}" if match else ""


def _overlay(tree: Tree, environment: Mapping[str, str]) -> Iterator[str]:
    """Put the variables over `tree`; yield a sentence for each that names no setting or is no value."""
    names = {f"{PREFIX}{section}_{name}".upper(): (section, name) for section in sections() for name in _names(section)}
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES:
            continue
        if variable not in names:
            yield f"{variable} is no setting{_nearest(variable, names)}"
            continue
        section, name = names[variable]
        try:
            tree.setdefault(section, {})[name] = _from_text(section, name, environment[variable])
        except tomllib.TOMLDecodeError:
            yield f"{variable} must be written as in the file, such as 30, true or ['en', 'de']"


def _names(section: str) -> Mapping[str, msgspec.structs.FieldInfo]:
    return fields_of(sections()[section])


def _from_text(section: str, name: str, text: str) -> object:
    """Return a variable's value: text as it is for text settings, TOML for all others."""
    try:
        return msgspec.convert(text, _names(section)[name].type)
    except msgspec.ValidationError:
        if _is_text(_names(section)[name].type):
            return text
    return tomllib.loads(f"value = {text}")["value"]


def _is_text(kind: Any) -> bool:  # noqa: ANN401 -- any annotation of a field
    """Return whether a field takes text, so that a wrong text is reported by its own rule."""
    info = msgspec.inspect.type_info(kind)
    if isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    return isinstance(info, msgspec.inspect.StrType) or (
        isinstance(info, msgspec.inspect.LiteralType) and all(isinstance(value, str) for value in info.values)
    )


def _sections(tree: Tree) -> tuple[dict[str, Any], list[str]]:
    """Return the sections that could be made, and a sentence for each mistake."""
    known = sections()
    problems = [f"[{name}] is no section{_nearest(name, known)}" for name in tree if name not in known]
    made: dict[str, Any] = {}
    for name, kind in known.items():
        values, found = _values(name, kind, tree.get(name, {}))
        problems += found
        if not found:
            made[name] = kind(**values)
    return made, problems


def _values(section: str, kind: type[Section], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    fields = fields_of(kind)
    problems = [f"[{section}] {name} is no setting{_nearest(name, fields)}" for name in given if name not in fields]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in given:
            if field.required:
                problems.append(f"[{section}] {name} is missing: it has no default")
            continue
        try:
            values[name] = msgspec.convert(given[name], field.type)
        except msgspec.ValidationError as error:
            problems.append(f"[{section}] {name}: {_reason(error, meaning(field))}")
    return values, problems


def meaning(field: msgspec.structs.FieldInfo) -> str:
    """Return the one line that says what a setting means."""
    info = msgspec.inspect.type_info(field.type)
    extra = (info.extra_json_schema or {}) if isinstance(info, msgspec.inspect.Metadata) else {}
    return str(extra.get("description", ""))


def _reason(error: msgspec.ValidationError, means: str) -> str:
    text = broken_rule(error).partition(" - at ")[0]
    if "matching regex" in text:
        return f"has not the documented form ({means.rstrip('.')})"
    return text[0].lower() + text[1:]


def _nearest(name: str, known: Mapping[str, object]) -> str:
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else ""


def _rules(config: Config) -> Iterator[str]:
    """Yield a sentence for each rule between settings that does not hold."""
    try:
        parse_entity(config.node.entity)
    except MeshError as error:
        yield f"[node] entity: {error}"
    try:
        parse_api(config.api_base)
    except MeshError as error:
        yield f"[node] api_base: {error}"
    if not 0 <= config.listen_port <= 65535:
        yield "[node] listen: the port must be between 0 and 65535"
    if bool(config.tls.certificate) != bool(config.tls.key):
        yield "[tls] certificate and key belong together: set both or none"
    yield from _exposure(config)
    if list(config.org.countries) != sorted(set(config.org.countries)):
        yield "[org] countries must be distinct and in alphabetical order"
    try:
        check_org_name(config.org.display_name)
    except MeshError as error:
        yield f"[org] {error}"
    if config.editions.keep > config.editions.k:
        yield "[editions] keep must not be larger than k"
    if config.mail.mode == "smtp" and not config.mail.host:
        yield '[mail] host is needed with mode = "smtp"'
    yield from _registry(config)
    yield from _contact(config)
    yield from _database(config)
    yield from _development(config)


def _registry(config: Config) -> Iterator[str]:
    if config.registry.enabled and not config.registry.name:
        yield "[registry] name is needed with enabled = true"
    try:
        config.registry.consortium()
    except MeshError as error:
        yield f"[registry] {error}"


def _contact(config: Config) -> Iterator[str]:
    reports = config.reports
    if 0 < sum(map(bool, (reports.name, reports.mail, reports.key))) < 3:
        yield "[reports] name, mail and key belong together: set all or none"
        return
    try:
        reports.named()
    except MeshError as error:
        yield f"[reports] {error}"


def _database(config: Config) -> Iterator[str]:
    """No secret in the settings, and nothing of the rows readable on the way to another machine."""
    if config.store.several and not config.store.url:
        yield "[store] several needs url: a file has one process"
    try:
        address = urlsplit(config.store.url)
    except ValueError:
        yield "[store] url: the host is no address"
        return
    asked = parse_qs(address.query)
    if "password" in asked:
        yield "[store] url: put the password into a file and name it in password_file"
    hosts = [host.rpartition(":")[0] or host for host in address.netloc.rpartition("@")[2].split(",")]
    hosts += [host for value in asked.get("host", []) for host in value.split(",")]
    remote = [host for host in hosts if host and not host.startswith("/") and not is_loopback(host.strip("[]"))]
    if remote and not _ENCRYPTED.intersection(asked.get("sslmode", [])[-1:]):  # of several, the last one counts
        yield "[store] url: a database on another machine needs ?sslmode=verify-full (at least require)"


def _exposure(config: Config) -> Iterator[str]:
    """A socket that others reach carries TLS, or stands behind something that does."""
    open_to_others = not is_loopback(config.listen_host)
    if open_to_others and config.development.enabled:
        yield "[node] listen must be a loopback address while [development] is enabled"
    elif open_to_others and not config.tls.certificate and not config.node.behind_proxy:
        yield "[node] listen is open to other machines: set [tls], or behind_proxy = true and let only the proxy in"


def _development(config: Config) -> Iterator[str]:
    if config.development.port and not config.development.enabled:
        yield "[development] port works only with enabled = true"
    if config.development.connect_to and not config.development.enabled:
        yield "[development] connect_to works only with enabled = true"
    for entity, address in config.development.connect_to.items():
        try:
            parse_entity(entity)
        except MeshError:
            yield "[development] connect_to: every key must be an entity identifier"
        host, _, port = address.rpartition(":")
        if not is_loopback(host.strip("[]")) or not port.isdecimal() or not 0 < int(port) <= 65535:
            yield "[development] connect_to: every value must be a loopback HOST:PORT such as 127.0.0.1:8441"


@lru_cache(256)
def is_loopback(host: str) -> bool:
    """Return whether `host` is `localhost` or a loopback IP literal."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
