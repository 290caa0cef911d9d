"""Imports without the certificates of the system, which most programs never need and a few need later.

aiohttp makes two TLS contexts with all of them while it is imported: 3 MiB and a tenth of the start of each process,
also where everything is on this machine. OpenSSL looks for them where two variables of the environment say.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_PLACES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@contextmanager
def certificates_later() -> Iterator[None]:
    """While inside, a context that is made trusts nobody; only the imports of a starting program belong there.

    So a connection that leaves its trust to aiohttp fails; ours bring their own (`federation/connections.py`), made
    later from the places that the operator's environment names. Once aiohttp is there nothing changes.
    """
    if "aiohttp" in sys.modules:
        yield
        return
    before = {name: os.environ.get(name) for name in _PLACES}
    os.environ.update(dict.fromkeys(_PLACES, os.devnull))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
