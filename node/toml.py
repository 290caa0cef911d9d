"""Writes settings as TOML: the few kinds of values that settings have (TOML 1.0)."""

import json
from collections.abc import Mapping


def value_text(value: object) -> str:
    """Return a setting's value as TOML: text, number, true or false, a list of these, or a table of texts."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A TOML basic string has JSON's escapes, and DEL must be escaped too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    assert isinstance(value, Mapping)
    pairs = (f"{value_text(name)} = {value_text(one)}" for name, one in value.items())
    return "{ " + ", ".join(pairs) + " }" if value else "{}"
