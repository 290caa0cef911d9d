"""The self-check: a person's client reads the whole key directory at other organizations and looks for its own label.

What a foreign mirror holds is what people there are shown. A key that is not one's own is a red alarm with a proof to
keep. The mirror is asked directly, with a token that all of the own organization share, at a random hour.
Source: docs/protocol/13-key-directory.md §10.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from protocol.addresses import parse_loopback
from protocol.directorypages import DAY_S, DIRECTORY_PAGES_PATH, AskDirectoryPage, DirectoryPage
from protocol.encoding import b64
from protocol.errors import LimitError, MeshError, MissingError, UnavailableError
from protocol.heads import ForkError
from protocol.keyentries import KeyEntry, OpenedEntry, open_entry
from protocol.keyproof import HeadProof, KeyProof, PlacedEntry, ProvenHead
from protocol.pages import Entry, decode_page, open_pages
from protocol.tlog.merkle import Tree, leaf_hash

from .check_records import SelfCheckRecord
from .check_views import CheckOutcome, KeyCheck
from .core import Core
from .http import Http, parse_answer
from .keychecks import KeyChecks, NotListedYetError, members_of
from .pins import document_of, name_of
from .proofs import kept
from .state import ClientState
from .views import Alarm, Event

#: Pages read at most, of 256 entries each; more is no directory of people that a client reads whole.
MAX_READ: Final = 128
#: A directory that changes while it is read is begun again so often.
TRIES: Final = 3
#: Who could not be reached is tried again after this long.
AGAIN_S: Final = 3_600
TIMEOUT_S: Final = 15.0
RED: Final = frozenset({"swapped", "new-device", "hidden", "refused"})


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A whole directory as a mirror holds it."""

    proof: HeadProof
    head: ProvenHead
    entries: tuple[Entry, ...]


class SelfCheck:
    """Looks for this person in what others hold."""

    def __init__(self, core: Core, checks: KeyChecks, foreign: Http) -> None:
        """Take the parts; `foreign` connects to public addresses only."""
        self._core: Final = core
        self._checks: Final = checks
        self._foreign: Final = foreign
        self._loopback: Final[dict[str, str]] = {}

    def connect(self, entity: str, address: str) -> None:
        """Find an organization at a loopback address such as `127.0.0.1:8441`. Raises: MalformedError: another one."""
        parse_loopback(address)
        self._loopback[entity] = address

    async def all(self) -> tuple[KeyCheck, ...]:
        """Check every audience at every organization in it that can be asked; return what each look found."""
        return await self._run(lambda mirrors: mirrors)

    async def due(self) -> list[Event]:
        """Check at one organization of each audience if it is time; return an alarm for everything that is wrong."""
        state, now = self._core.state(), self._core.now()
        if state.account is None or not state.account.token or now < state.self_check_at:
            return []
        first = not state.self_check_at
        self._plan(now + secrets.randbelow(DAY_S) if first else next_at(now))
        if first:
            return []
        done = await self._run(lambda mirrors: [secrets.choice(mirrors)] if mirrors else [])
        if any(one.outcome == "unreached" for one in done):
            self._plan(now + AGAIN_S)
        return [Alarm(thread="", sentence=one.sentence, code=one.outcome) for one in done if one.outcome in RED]

    def _plan(self, at: int) -> None:
        self._core.vault.update(lambda state: replace(state, self_check_at=at))

    async def _run(self, choose: Callable[[Sequence[str]], Sequence[str]]) -> tuple[KeyCheck, ...]:
        found: list[KeyCheck] = []
        for audience in self._core.state().audiences:
            state = self._core.state()
            own = state.signed_in.entity
            mirrors = [one for one in members_of(state, audience) if one != own]
            if not mirrors:
                found.append(_unwitnessed(audience))
            found += [await self._look(audience, mirror) for mirror in choose(mirrors)]
        return tuple(found)

    async def _look(self, audience: str, mirror: str) -> KeyCheck:
        """Return what one mirror holds about this person; remembered."""
        own, org = self._core.state().signed_in.entity, name_of(self._core.state(), mirror)
        try:
            read = await self._read(audience, own, mirror)
        except NotListedYetError as error:
            check = KeyCheck(audience=audience, entity=mirror, outcome="unreached", sentence=f"{org}: {error}")
        except (UnavailableError, LimitError, MissingError) as error:
            sentence = f"{org} has no answer now: {error}"
            check = KeyCheck(audience=audience, entity=mirror, outcome="unreached", sentence=sentence)
        except ForkError as error:
            sentence = f"{org} holds another directory of your organization than your own node showed you: {error}"
            check = KeyCheck(audience=audience, entity=mirror, outcome="refused", sentence=sentence)
        except MeshError as error:
            sentence = f"What {org} holds of your organization's directory does not hold: {error}"
            check = KeyCheck(audience=audience, entity=mirror, outcome="refused", sentence=sentence)
        else:
            check = await asyncio.to_thread(self._judge, audience, mirror, read)
        self._core.vault.update(lambda state: _remembered(state, check, now=self._core.now()))
        return check

    # Reading

    async def _read(self, audience: str, own: str, mirror: str) -> Read:
        """Return the whole directory, every page of one head. Raises: MeshError."""
        given = await self._core.api().directory_token(audience)
        for _ in range(TRIES):
            first = await self._page(mirror, AskDirectoryPage(audience=audience, issuer=own, token=given.token))
            head = await self._checks.verified(first, own, audience)
            pages = [decode_page(first.data)]
            if pages[0].of > MAX_READ:
                raise LimitError(f"its directory has over {MAX_READ} pages: too large to be read whole")
            for number in range(1, pages[0].of):
                asked = AskDirectoryPage(audience=audience, issuer=own, page=number, token=given.token)
                answer = await self._page(mirror, asked)
                if answer.head.head != first.head.head:
                    break
                pages.append(decode_page(answer.data))
            else:
                entries = await asyncio.to_thread(open_pages, head.head, pages)
                return Read(proof=first.head, head=head, entries=entries)
        raise NotListedYetError("its directory changes too fast to be read")

    async def _page(self, mirror: str, asked: AskDirectoryPage) -> DirectoryPage:
        http, base = self._reach(mirror)
        try:
            raw = await http.call("POST", base + DIRECTORY_PAGES_PATH, body=asked, timeout_s=TIMEOUT_S)
        except UnavailableError:
            raise UnavailableError(f"no answer from {mirror}", code="mirror-away") from None
        return parse_answer(raw, DirectoryPage)

    async def fetch(self, entity: str, path: str, limit: int) -> bytes:
        """Return a public resource of an organization's node, such as a tile of its log. Raises: MeshError."""
        http, base = self._reach(entity)
        raw = await http.call("GET", base + path, timeout_s=TIMEOUT_S)
        if len(raw) > limit:
            raise LimitError(f"{path} is over {limit} bytes")
        return raw

    def _reach(self, entity: str) -> tuple[Http, str]:
        """Return how to ask a node: one's own, one on this machine, or one at its public address."""
        state = self._core.state()
        if entity == state.signed_in.entity:
            return self._core.http, state.signed_in.url
        loopback = self._loopback.get(entity)
        if loopback:
            return self._core.http, f"http://{loopback}"
        return self._foreign, document_of(state, entity).api

    # Judging

    def _judge(self, audience: str, mirror: str, read: Read) -> KeyCheck:
        state = self._core.state()
        label = state.account_secret.label(audience)
        key = state.account_secret.identity(audience).public.text
        alien, mine = None, None
        for number, one in enumerate(read.entries):
            entry = msgspec.json.decode(one.opening.body, type=KeyEntry)
            if (entry.label == label) != (entry.identity_key == key):
                alien = number
            elif entry.label == label:
                mine = open_entry(one.opening.body, audience=audience, now=read.head.head.issued_at)
        place = _Place(state=state, audience=audience, mirror=mirror, read=read)
        if alien is not None:
            file = self._keep(read, alien, mirror)
            return place.check("swapped", _swapped(place.org, file), evidence=str(file))
        return _compared(place, mine)

    def _keep(self, read: Read, number: int, mirror: str) -> Path:
        """Write what proves an entry, for whoever is shown it later; return where."""
        proof = KeyProof(type="mentormesh/key-proof/v1", head=read.proof, entry=placed(read.entries, number))
        name = f"keys-{mirror.removeprefix('https://')}-{read.head.head.seq}-{secrets.token_hex(4)}.json"
        return kept(self._core.vault.folder, name, msgspec.json.encode(proof))


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where was looked."""

    state: ClientState
    audience: str
    mirror: str
    read: Read

    @property
    def org(self) -> str:
        return name_of(self.state, self.mirror)

    def check(
        self, outcome: CheckOutcome, sentence: str, *, devices: tuple[str, ...] = (), evidence: str = ""
    ) -> KeyCheck:
        return KeyCheck(
            audience=self.audience,
            entity=self.mirror,
            outcome=outcome,
            sentence=sentence,
            seq=self.read.head.head.seq,
            entries=len(self.read.entries),
            attested_by=self.read.head.attested_by,
            devices=devices,
            evidence=evidence,
        )


def _compared(place: _Place, mine: OpenedEntry | None) -> KeyCheck:
    """Return what the own entry says, or its absence."""
    state, audience = place.state, place.audience
    own = state.device_secret.key(audience).public.text
    if mine is None or mine.device(own) is None:
        if _was_listed(place, own):
            return place.check(
                "hidden",
                f"Your own node showed you in its directory, and {place.org} does not see this device there: nobody "
                "at that organization can be sure of you. Ask your administrator why",
            )
        return place.check("not-listed", f"{place.org} does not see this device yet: look again in a few minutes")
    devices = tuple(one.device_key for one in mine.devices)
    known = state.self_checks.get(audience)
    fresh = set(devices) - {own, *(known.devices if known else devices)}
    if fresh:
        return place.check(
            "new-device",
            f"{place.org} sees a device of yours that was not there at the last look. If you did not add one, remove "
            "it (`mentormesh person devices`) and tell your contacts",
            devices=devices,
        )
    more = f" and {len(devices) - 1} more of your devices" if len(devices) > 1 else ""
    return place.check("clean", f"{place.org} sees your own key, this device{more}, and nothing else", devices=devices)


def _was_listed(place: _Place, device: str) -> bool:
    """Return whether the own node proved this device's entry under a head that the mirror's follows."""
    origin, state = place.read.head.head.origin, place.state
    key = state.account_secret.identity(place.audience).public.text
    record = state.proven.get(f"{origin} {place.audience} {key}")
    return record is not None and device in record.devices and not record.refused


def _swapped(org: str, file: Path) -> str:
    return (
        f"{org} holds a key for you that is not yours: somebody at your organization can act as you there, and read "
        f"what people there write to you. Compare the safety number by phone. The proof is in "
        f"{file}: anybody can check it with `mentormesh keys verify`"
    )


def _unwitnessed(audience: str) -> KeyCheck:
    return KeyCheck(
        audience=audience,
        entity="",
        outcome="unwitnessed",
        sentence="Inside your own organization nobody outside can look: compare the safety number",
    )


def _remembered(state: ClientState, check: KeyCheck, *, now: int) -> ClientState:
    before = state.self_checks.get(check.audience)
    devices = check.devices or (before.devices if before else ())
    record = SelfCheckRecord(mirror=check.entity, at=now, outcome=check.outcome, seq=check.seq, devices=devices)
    return replace(state, self_checks={**state.self_checks, check.audience: record})


def next_at(now: int) -> int:
    """Return a random second of the next day, so that a node cannot show a clean directory for just that time."""
    return (now // DAY_S + 1) * DAY_S + secrets.randbelow(DAY_S)


def placed(entries: Sequence[Entry], number: int) -> PlacedEntry:
    """Return an entry of a whole set with its way to the root of its shard."""
    one = entries[number]
    shard = [each for each in entries if each.shard == one.shard]
    tree, index = Tree([leaf_hash(each.commitment) for each in shard]), shard.index(one)
    return PlacedEntry(
        body=one.opening.body.decode(),
        salt=b64(one.opening.salt),
        shard=one.shard,
        index=index,
        size=len(shard),
        proof=tuple(b64(each) for each in tree.inclusion_proof(index)),
    )
