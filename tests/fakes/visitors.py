"""Who visits an application of a test: everybody from one address, and as often as they like."""

from aiohttp import web


class Visitors:
    """Stands for `node.api.hosts.Hosts` and `node.api.strangers.Strangers`."""

    def client_address(self, _request: web.Request) -> str:
        """Return the one address."""
        return "192.0.2.1"

    def meet_stranger(self, address: str) -> None:
        """Count nobody."""
