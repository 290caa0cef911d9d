"""Makes the directory of a new node: settings, keys and folders; all of it, or nothing."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from federation.ports import Entropy
from protocol.errors import RefusedError

from . import config as configuration
from .keys import create_keys
from .sections import Config
from .toml import value_text

FOLDERS: Final = ("data", "mail")


def create_node(directory: Path, settings: Mapping[str, Mapping[str, Any]], entropy: Entropy) -> Config:
    """Make the node directory with these settings by section, and return its configuration.

    Everything is made beside the directory and moved into place last, so that a failure leaves nothing behind.

    Raises: RefusedError: the directory is not empty or cannot be written. ConfigError: a setting breaks a rule.
    """
    text = render_settings(settings)
    config = configuration.parse(text, {})
    _refuse_used(directory)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}-"))
    except OSError:
        raise RefusedError(
            "the node directory cannot be made here: choose a place this user may write", code="read-only"
        ) from None
    try:
        _fill(made, text, entropy)
        made.rename(directory)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return config


def _refuse_used(directory: Path) -> None:
    try:
        used = directory.exists() and (not directory.is_dir() or any(directory.iterdir()))
    except OSError:
        raise RefusedError("the node directory cannot be read by this user", code="read-only") from None
    if used:
        raise RefusedError("the directory is not empty: choose a new one for the node", code="not-empty")


def _fill(made: Path, text: str, entropy: Entropy) -> None:
    for folder in FOLDERS:
        (made / folder).mkdir(mode=0o700)
    create_keys(made, entropy)
    with (made / configuration.FILE_NAME).open("x", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)


def render_settings(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the text of `mentormesh.toml`: the given settings, each under its meaning."""
    known = configuration.sections()
    lines = ["# Settings of this node. `mentormesh config show` prints all, with their defaults;", "# changes take"]
    lines[-1] += " effect at the next start. docs/reference/configuration.md explains every one."
    for section, values in settings.items():
        fields = configuration.fields_of(known[section])
        lines += ["", f"[{section}]"]
        for name, value in values.items():
            lines += [f"# {configuration.meaning(fields[name])}", f"{name} = {value_text(value)}"]
    return "\n".join(lines) + "\n"
