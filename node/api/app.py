"""The HTTP application of a node: every route behind its guard, and the services that the routes find."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from node.app import Node
from node.keys import operator_token

from .accounts import PEOPLE, People, device_guard
from .answers import ANSWERS
from .blobs import BLOBS
from .bodies import BODY_LIMITS, BodyLimits
from .contacts import CONTACTS
from .exchange import EXCHANGE, ExchangeServices
from .federation import FEDERATION, Federation, peer_guard
from .gossip import GOSSIP
from .hosts import HOSTS, Hosts
from .keys import KEYS, KeyServices
from .linking import LINKINGS
from .log import LOG, LogServices
from .members import MEMBERS, MemberServices
from .middleware import EDGE, Edge
from .operations import HEALTH, METRICS, STORE
from .operator import OPERATOR, Operator, local_guard, operator_guard
from .relay import RELAY, Relay
from .reports import REPORTS
from .routes import Auth, Guard, add_routes
from .safe import SAFE
from .search import SEARCH, SearchServices
from .strangers import STRANGERS
from .table import ALL_ROUTES
from .witness import WITNESS
from .writing import DRESS, Dress

#: Routes of kind public and page check nothing before their handler.
GUARDS: Final[Mapping[Auth, Guard]] = {
    "device": device_guard,
    "local": local_guard,
    "operator": operator_guard,
    "peer": peer_guard,
}


def build_app(node: Node) -> web.Application:
    """Return the HTTP application of `node`."""
    base, limits = node.base, node.base.config.limits
    edge = Edge(clock=base.clock, entropy=base.entropy, events=base.events)
    app = web.Application(middlewares=[edge.__call__], client_max_size=limits.batch_bytes)
    app[EDGE] = edge
    app[DRESS] = Dress(https=not base.config.development.enabled)
    app[HOSTS] = Hosts(base.config, base.port)
    app[BODY_LIMITS] = BodyLimits(
        body_bytes=limits.body_bytes, body_s=limits.body_s, in_flight_bytes=limits.in_flight_bytes
    )
    app[HEALTH] = node.health
    app[METRICS] = base.events.metrics
    app[STORE] = base.store
    _add_operator(app, node)
    _add_people(app, node)
    _add_peers(app, node)
    add_routes(app, ALL_ROUTES, GUARDS)
    return app


def _add_operator(app: web.Application, node: Node) -> None:
    app[OPERATOR] = Operator(
        token=operator_token(node.base.directory),
        operations=node.operations,
        events=node.base.events,
        body_bytes=node.base.config.limits.operator_bytes,
    )


def _add_people(app: web.Application, node: Node) -> None:
    people, handshakes, base = node.people, node.handshakes, node.base
    app[PEOPLE] = People(
        entity=base.entity,
        accounts=people.accounts,
        devices=people.devices,
        members=people.members,
        mentors=people.mentors,
        erasure=people.erasure,
    )
    app[LINKINGS] = people.linkings
    app[EXCHANGE] = ExchangeServices(
        entity=base.entity,
        store=base.store,
        clock=base.clock,
        entropy=base.entropy,
        consumer=handshakes.consumer,
        answering=handshakes.answering,
        sessions=handshakes.sessions,
        mailboxes=handshakes.mailboxes,
        views=handshakes.views,
        devices=people.devices,
        directory=node.peering.directory,
        identity=node.peering.identity,
    )
    app[SAFE] = people.safe
    app[CONTACTS] = people.contacts
    app[ANSWERS] = handshakes.links
    app[BLOBS] = handshakes.blobs
    app[REPORTS] = handshakes.reports
    app[SEARCH] = SearchServices(search=node.catalog.search, vocabulary=node.vocabulary, offers=node.catalog.offers)


def _add_peers(app: web.Application, node: Node) -> None:
    base, peering = node.base, node.peering
    federation = Federation(
        authenticator=peering.authenticator,
        peering=peering.service,
        discovery=peering.discovery,
        own=peering.identity,
        key=base.keys.http,
        clock=base.clock,
        entropy=base.entropy,
        batch_bytes=base.config.limits.batch_bytes,
        away_s=lambda: base.store.away_s,
    )
    app[FEDERATION] = federation
    base.on_new_keys(lambda keys: federation.rekey(keys.http))
    app[STRANGERS] = peering.authenticator
    app[LOG] = LogServices(book=node.log.book, authenticator=peering.authenticator)
    app[WITNESS] = node.witnessing.witness
    app[GOSSIP] = node.witnessing.gossip
    consortia = node.consortia
    app[MEMBERS] = MemberServices(
        memberships=consortia.memberships,
        registry=consortia.registry if base.config.registry.enabled else None,
    )
    app[KEYS] = KeyServices(
        lookup=node.directories.lookup,
        attesting=node.directories.attesting,
        erasures=node.directories.erasures,
        foreign=node.directories.foreign,
    )
    app[RELAY] = Relay(
        inbox=node.handshakes.inbox,
        returning=node.handshakes.returning,
        hints=node.hints,
        recovery=node.handshakes.recovery,
        quotes=node.handshakes.quotes,
        publisher=node.catalog.publisher,
    )
