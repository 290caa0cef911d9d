"""`mentormesh config`: show or check the configuration."""

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from node import config as configuration
from node.toml import value_text

from .node_access import directory_option
from .output import Output, json_option


@click.group()
def config() -> None:
    """Show or check the configuration."""


@config.command()
@directory_option
@json_option
@click.option("--changed", is_flag=True, help="Only settings that differ from their default.")
def show(directory: Path, *, as_json: bool, changed: bool) -> None:
    """Print every setting as it holds, variables included."""
    loaded = configuration.load(directory, os.environ)
    tree: dict[str, dict[str, Any]] = msgspec.to_builtins(loaded)
    if changed:
        tree = _without_defaults(tree)
    lines: list[str] = []
    for section, values in tree.items():
        lines += [f"[{section}]", *(f"{name} = {value_text(value)}" for name, value in values.items()), ""]
    Output(as_json=as_json).result(tree, lines[:-1] or [""])


def _without_defaults(tree: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    kept: dict[str, dict[str, Any]] = {}
    for section, kind in configuration.sections().items():
        fields = configuration.fields_of(kind)
        changed = {name: value for name, value in tree[section].items() if not is_default(fields[name], value)}
        if changed:
            kept[section] = changed
    return kept


def is_default(field: msgspec.structs.FieldInfo, value: object) -> bool:
    """Return whether `value`, as plain JSON types, is the default of `field`."""
    if field.required:
        return False
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return bool(msgspec.to_builtins(default) == value)


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration can be used."""

    valid: bool
    name: str
    entity: str
    listen: str


@config.command()
@directory_option
@json_option
def check(directory: Path, *, as_json: bool) -> None:
    """Check the configuration; every mistake is named."""
    loaded = configuration.load(directory, os.environ)
    checked = Checked(valid=True, name=loaded.name, entity=loaded.node.entity, listen=loaded.node.listen)
    Output(as_json=as_json).result(checked, f"The configuration of {loaded.name} ({loaded.node.entity}) is valid.")
