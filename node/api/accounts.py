"""What a person's client asks its own node about the account: sign-in, devices, mentor profile, consents, own data.

A handler parses, calls one service and replies; `device_guard` says who is asking.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web

from node.services.accounts import Accounts, Person, Redeemed
from node.services.consents import TEXTS, ConsentKind, ConsentText
from node.services.devices import Devices, DeviceView, EnrolDevice
from node.services.erasure import Erasure, ErasureReceipt, PersonExport, render_html
from node.services.members import Members
from node.services.mentors import Mentors, MentorView
from node.services.profile import MentorProfile
from protocol.errors import RefusedError, UnverifiedError
from protocol.ids import Bytes32, Entity

from .bodies import STILL_ALLOWED, read_body, read_query, reply
from .hosts import HOSTS
from .routes import Handler, Route
from .strangers import charge, charging_failures

PAGES: Final = Path(__file__).parent.parent / "templates" / "pages"


class People(msgspec.Struct, frozen=True, kw_only=True):
    """The services behind these routes."""

    entity: Entity
    accounts: Accounts
    devices: Devices
    members: Members
    mentors: Mentors
    erasure: Erasure


PEOPLE: Final = web.AppKey("mentormesh.people", People)
PERSON: Final = web.RequestKey("mentormesh.person", Person)


def device_guard(handler: Handler) -> Handler:
    """Return `handler` for whoever shows the token of a sign-in; `signed_in` then says who."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        async def allow() -> None:
            with charging_failures(request):
                request[PERSON] = await _authenticated(request)

        await allow()
        request[STILL_ALLOWED] = allow
        return await handler(request)

    return guarded


async def _authenticated(request: web.Request) -> Person:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise UnverifiedError("sign in first: this needs a bearer token", code="token")
    return await request.app[PEOPLE].accounts.authenticate(token.strip())


def signed_in(request: web.Request) -> Person:
    """Return who is asking, on a route behind `device_guard`."""
    return request[PERSON]


def device_of(request: web.Request) -> str:
    """Return from which device of the account this is asked. Raises: RefusedError: signed in by a link alone.

    Whoever reads somebody's mailbox, as an employer can, has such a link.
    """
    device = signed_in(request).device
    if device is None:
        raise RefusedError("enrol this device first", code="no-device")
    return device


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of small request bodies."""


class WantLink(Body, frozen=True, kw_only=True):
    """`{"mail":"ana@aurora.example"}`."""

    mail: Annotated[str, msgspec.Meta(max_length=254)]


class RedeemLink(Body, frozen=True, kw_only=True):
    """`{"token":"<what stands behind # in the link>"}`."""

    token: Bytes32


class Mentoring(Body, frozen=True, kw_only=True):
    """Opting in; with `listed` offers outside may rest on the profile as well."""

    listed: bool = False


class GiveConsent(Body, frozen=True, kw_only=True):
    """Agreeing to a version of a text, or with `given: false` no longer."""

    kind: ConsentKind
    version: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    given: bool = True


class EraseMe(Body, frozen=True, kw_only=True):
    """Said on purpose: `{"confirm":"erase"}`."""

    confirm: Literal["erase"]


class ExportQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`html` is the same for reading."""

    form: Literal["json", "html"] = "json"


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """The account as its owner sees it."""

    member: str
    entity: str
    mail: str
    languages: tuple[str, ...]
    device: str | None
    devices: tuple[DeviceView, ...]
    mentoring: MentorView


async def want_link(request: web.Request) -> web.Response:
    """Mail a sign-in link if the address is a member's; the answer is the same for all."""
    command = await read_body(request, WantLink)
    await request.app[PEOPLE].accounts.request_link(command.mail, address=_address(request))
    return reply(status=202)


async def redeem_link(request: web.Request) -> web.Response:
    """Exchange a link for a token."""
    command = await read_body(request, RedeemLink)
    return reply(await request.app[PEOPLE].accounts.redeem(command.token, address=_address(request)))


async def sign_out(request: web.Request) -> web.Response:
    """End this sign-in."""
    await request.app[PEOPLE].accounts.sign_out(signed_in(request))
    return reply()


async def me(request: web.Request) -> web.Response:
    """Show the account."""
    people, person = request.app[PEOPLE], signed_in(request)
    row = await people.members.get(person.member)
    shown = Me(
        member=row.member,
        entity=people.entity,
        mail=row.mail,
        languages=tuple(filter(None, row.languages.split(";"))),
        device=person.device,
        devices=await people.devices.views(person),
        mentoring=await people.mentors.view(person.member),
    )
    return reply(shown)


async def save_profile(request: web.Request) -> web.Response:
    """Replace the mentor profile."""
    profile = await read_body(request, MentorProfile)
    await request.app[PEOPLE].mentors.save(signed_in(request).member, profile)
    return await _mentoring(request)


async def opt_in(request: web.Request) -> web.Response:
    """Mentor from now on."""
    command = await read_body(request, Mentoring)
    await request.app[PEOPLE].mentors.opt_in(signed_in(request).member, listed=command.listed)
    return await _mentoring(request)


async def opt_out(request: web.Request) -> web.Response:
    """Mentor no longer."""
    await request.app[PEOPLE].mentors.opt_out(signed_in(request).member)
    return await _mentoring(request)


async def _mentoring(request: web.Request) -> web.Response:
    return reply(await request.app[PEOPLE].mentors.view(signed_in(request).member))


async def consent_texts(request: web.Request) -> web.Response:
    """Show what one can agree to."""
    charge(request)
    return reply(TEXTS)


async def give_consent(request: web.Request) -> web.Response:
    """Record a consent or its withdrawal."""
    command = await read_body(request, GiveConsent)
    mentors, member = request.app[PEOPLE].mentors, signed_in(request).member
    if command.given:
        await mentors.give_consent(member, command.kind, command.version)
    else:
        await mentors.withdraw_consent(member, command.kind)
    return await _mentoring(request)


async def enrol_device(request: web.Request) -> web.Response:
    """Add a device, or renew what it told."""
    command = await read_body(request, EnrolDevice)
    return reply(await request.app[PEOPLE].devices.enrol(signed_in(request), command), status=201)


async def remove_device(request: web.Request) -> web.Response:
    """Remove a device."""
    await request.app[PEOPLE].devices.remove(signed_in(request), request.match_info["device"])
    return reply()


async def export_me(request: web.Request) -> web.Response:
    """Show everything this node holds about the person."""
    query = read_query(request, ExportQuery)
    export = await request.app[PEOPLE].erasure.export(signed_in(request).member)
    if query.form == "html":
        return web.Response(text=render_html(export), content_type="text/html")
    return reply(export)


async def erase_me(request: web.Request) -> web.Response:
    """Erase everything this node holds about the person."""
    await read_body(request, EraseMe)
    return reply(await request.app[PEOPLE].erasure.erase(signed_in(request).member))


async def sign_in_page(request: web.Request) -> web.Response:
    """Say how to use a sign-in link; opening it changes nothing, and what stands behind # never gets here."""
    charge(request)
    german = request.headers.get("Accept-Language", "").lower().startswith("de")
    page = PAGES / f"sign-in.{'de' if german else 'en'}.html"
    return web.Response(text=page.read_text(encoding="utf-8"), content_type="text/html")


def _address(request: web.Request) -> str:
    return request.app[HOSTS].client_address(request)


ACCOUNT_ROUTES: Final = (
    Route(
        method="GET",
        path="/sign-in",
        handler=sign_in_page,
        auth="page",
        summary="How to use a sign-in link",
        response_content_type="text/html",
    ),
    Route(
        method="POST",
        path="/api/v1/sign-in/links",
        handler=want_link,
        auth="public",
        summary="Mail me a sign-in link; answered alike for every address",
        request=WantLink,
        status=202,
    ),
    Route(
        method="POST",
        path="/api/v1/sign-in/redeem",
        handler=redeem_link,
        auth="public",
        summary="Exchange a link, once, for a bearer token",
        request=RedeemLink,
        response=Redeemed,
    ),
    Route(
        method="DELETE",
        path="/api/v1/sign-in",
        handler=sign_out,
        auth="device",
        summary="End this sign-in",
        status=204,
    ),
    Route(method="GET", path="/api/v1/me", handler=me, auth="device", summary="My account", response=Me),
    Route(
        method="PUT",
        path="/api/v1/me/mentor-profile",
        handler=save_profile,
        auth="device",
        summary="Replace my private mentor profile",
        request=MentorProfile,
        response=MentorView,
    ),
    Route(
        method="PUT",
        path="/api/v1/me/mentoring",
        handler=opt_in,
        auth="device",
        summary="Mentor from now on",
        request=Mentoring,
        response=MentorView,
    ),
    Route(
        method="DELETE",
        path="/api/v1/me/mentoring",
        handler=opt_out,
        auth="device",
        summary="Mentor no longer, at once",
        response=MentorView,
    ),
    Route(
        method="GET",
        path="/api/v1/consents",
        handler=consent_texts,
        auth="public",
        summary="Consent texts with their versions",
        response=tuple[ConsentText, ...],
    ),
    Route(
        method="POST",
        path="/api/v1/me/consents",
        handler=give_consent,
        auth="device",
        summary="Agree to a consent text, or no longer",
        request=GiveConsent,
        response=MentorView,
    ),
    Route(
        method="POST",
        path="/api/v1/me/devices",
        handler=enrol_device,
        auth="device",
        summary="Add a device, or renew its keys towards one audience",
        request=EnrolDevice,
        response=DeviceView,
        status=201,
    ),
    Route(
        method="DELETE",
        path="/api/v1/me/devices/{device}",
        handler=remove_device,
        auth="device",
        summary="Remove one of my devices",
        status=204,
    ),
    Route(
        method="GET",
        path="/api/v1/me/export",
        handler=export_me,
        auth="device",
        summary="Everything this node holds about me",
        response=PersonExport,
        query=ExportQuery,
    ),
    Route(
        method="POST",
        path="/api/v1/me/erase",
        handler=erase_me,
        auth="device",
        summary="Erase everything this node holds about me",
        request=EraseMe,
        response=ErasureReceipt,
    ),
)
