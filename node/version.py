"""The version of the installed program."""

from functools import cache


@cache
def version() -> str:
    """Return the version, such as `0.1.0`; read on first use, because the lookup is slow."""
    from importlib.metadata import version as installed

    return installed("mentormesh")
