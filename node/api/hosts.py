"""Which names a node answers to, and for what: the guard against rebinding, misrouting and absolute-form targets.

The API authority comes from configuration, never from the request. `127.0.0.1:PORT` and its like are for public
reading, for programs on this machine and for the operator; browsers change things only at the page's own name.
"""

from typing import Final

from aiohttp import hdrs, web

from node.config import is_loopback
from node.sections import Config
from protocol.errors import MalformedError, RefusedError

from .routes import SAFE, Auth

#: What proxies add; one of them is enough to tell that the request began elsewhere.
PROXIED: Final = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")


class Hosts:
    """The authorities of one node once the port that this process listens on is known."""

    def __init__(self, config: Config, port: int) -> None:
        self.api: Final = config.authority
        self.page: Final = config.page_base(port).partition("://")[2]
        ports = {port, config.public_port(port)}
        self.local: Final = frozenset(f"{host}:{one}" for host in ("127.0.0.1", "localhost", "[::1]") for one in ports)
        self.behind_proxy: Final = config.node.behind_proxy

    def check(self, request: web.Request, auth: Auth) -> None:
        """Return when a route of kind `auth` answers under the name that `request` uses.

        Raises: MalformedError: no Host or an absolute-form target. RefusedError (code `misdirected`): another name.
        """
        if not request.raw_path.startswith("/"):
            raise RefusedError("request target must be a path", code="misdirected")
        host = request.headers.get(hdrs.HOST)
        if not host:
            raise MalformedError("Host is missing")
        if not self._answers(request, host, auth):
            raise RefusedError("this node does not answer here under that name", code="misdirected")

    def _answers(self, request: web.Request, host: str, auth: Auth) -> bool:
        if host == self.api:
            return auth != "operator"
        if host == self.page:
            return auth in {"public", "device", "page"}
        if self.is_local(request):
            return auth != "peer" and (auth != "page" or request.method in SAFE)
        return False

    def is_local(self, request: web.Request) -> bool:
        """Return whether the request comes from this machine and through no proxy.

        A program on this machine uses a name of this machine; a proxy that adds no header passes the public one on.
        """
        if request.headers.get("Host") not in self.local or not is_loopback(_peer_address(request)):
            return False
        return not any(name in request.headers for name in PROXIED)

    def client_address(self, request: web.Request) -> str:
        """Return the address to limit by: the proxy's last word when configured, else the socket's."""
        direct = _peer_address(request)
        if self.behind_proxy and (forwarded := request.headers.getall("X-Forwarded-For", [])):
            return forwarded[-1].rpartition(",")[2].strip()[:45] or direct
        return direct


HOSTS: Final = web.AppKey("mentormesh.hosts", Hosts)


def _peer_address(request: web.Request) -> str:
    transport = request.transport
    name = transport.get_extra_info("peername") if transport else None
    return str(name[0]) if isinstance(name, tuple) else ""
