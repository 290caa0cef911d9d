"""A small organization for the tests of people."""

from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from federation.ports import Store, where
from node.rows import LabelRow, MailRow, MemberRow, SignInRow
from node.services.accounts import Accounts, Person, SignInSettings
from node.services.devices import Devices, EnrolDevice
from node.services.erasure import Erasure
from node.services.member_csv import FIELD_NAMES
from node.services.members import Members
from node.services.mentors import Mentors
from node.services.notices import decode_notice
from node.services.profile import Availability, MentorProfile, ProfileTopic, WeeklyWindow
from node.services.safe import Safe
from protocol.authorization import Authorization, certificate_name, sign_authorization
from protocol.concepts import Concept, Vocabulary
from protocol.e2ee.keys import AccountSecret, DeviceSecret, PersonSealingKey, enrol
from protocol.encoding import b64, sha256, unb64
from protocol.errors import UnavailableError
from protocol.regain import sign_regain
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy

BASE: Final = "https://aurora.example"
AUDIENCE: Final = b64(sha256(b"an audience"))
TOPIC: Final = "mm:first-board-presentation"
HEADER: Final = ",".join(FIELD_NAMES)
MONDAY: Final = 1_799_625_600  # 2027-01-11 00:00 UTC


def row(name: str, status: str = "active", /, **changed: str) -> str:
    """Return one line of a member file."""
    values = dict.fromkeys(FIELD_NAMES, "") | {
        "id": name,
        "mail": f"{name.lower()}@aurora.example",
        "status": status,
        "job_family": "Finance",
        "band": "senior",
        "country": "DE",
    }
    return ",".join((values | changed).values())


def people_file(*rows: str) -> bytes:
    return "\r\n".join((HEADER, *rows, "")).encode()


def staff(count: int, *, first: int = 0) -> bytes:
    return people_file(*(row(f"E{number}") for number in range(first, first + count)))


def profile(**changed: object) -> MentorProfile:
    values: dict[str, object] = {
        "topics": (ProfileTopic(id=TOPIC, kind="been-through"),),
        "languages": ("en",),
        "formats": ("call",),
        "lengths": (30,),
        "availability": Availability(zone="Europe/Berlin", weekly=(WeeklyWindow(weekday=1, start=840, end=960),)),
    }
    return MentorProfile(**(values | changed))  # type: ignore[arg-type]


class Scrubbed:
    """Stands for `scrub` of a store; counts, and is in the way of nothing unless told."""

    def __init__(self) -> None:
        self.times = 0
        self.busy = False

    async def __call__(self) -> None:
        if self.busy:
            raise UnavailableError("a reader keeps old rows in use; try again")
        self.times += 1


@dataclass
class World:
    """All services of people over one store."""

    store: Store
    clock: SteppedClock = field(default_factory=lambda: SteppedClock(MONDAY + 9 * 3600))
    entropy: SeededEntropy = field(default_factory=SeededEntropy)

    def __post_init__(self) -> None:
        self.tokens: dict[str, str] = {}
        settings = SignInSettings(page_base=lambda: BASE)
        vocabulary = Vocabulary([Concept(id=TOPIC, labels={"en": ("Presenting to the board",)})])
        self.members = Members(self.store, self.clock, self.entropy)
        self.accounts = Accounts(self.store, self.clock, self.entropy, settings)
        self.devices = Devices(self.store, self.clock, self.entropy)
        self.mentors = Mentors(self.store, self.clock, lambda: vocabulary)
        self.safe = Safe(self.store, self.clock)
        self.scrubbed = Scrubbed()
        self.erasure = Erasure(self.store, self.clock, scrub=self.scrubbed)

    async def add(self, data: bytes, *, force: bool = False) -> None:
        await self.members.apply(await self.members.plan(data), force=force)

    async def member(self, hris_id: str) -> MemberRow:
        return await self.members.by_hris_id(hris_id)

    async def mails(self) -> list[MailRow]:
        async with self.store.read() as reader:
            return await reader.find(MailRow)

    async def sign_in(self, hris_id: str) -> Person:
        """Return a person signed in by a link."""
        link = await self.accounts.issue_link((await self.member(hris_id)).member)
        redeemed = await self.accounts.redeem(link.partition("#")[2], address="192.0.2.1")
        person = await self.accounts.authenticate(redeemed.token)
        self.tokens[person.sign_in] = redeemed.token
        return person

    async def refreshed(self, person: Person) -> Person:
        """Return the same sign-in as it is now."""
        async with self.store.read() as reader:
            row = await reader.get(SignInRow, unb64(person.sign_in))
        return replace(person, device=row.device if row else None)

    async def signed_in(self, member: str) -> list[str]:
        """Return the names of a member's sign-ins."""
        async with self.store.read() as reader:
            return [b64(row.token_hash) for row in await reader.find(SignInRow, where(member=member))]

    async def labels(self, member: str) -> list[LabelRow]:
        async with self.store.read() as reader:
            return await reader.find(LabelRow, where(member=member), order="audience")

    async def mentor(self, hris_id: str, *, listed: bool = False) -> MemberRow:
        """Return a member who has opted in."""
        found = await self.member(hris_id)
        await self.mentors.save(found.member, profile())
        await self.mentors.give_consent(found.member, "mentoring", 1)
        await self.mentors.give_consent(found.member, "listing", 1)
        await self.mentors.opt_in(found.member, listed=listed)
        return found


@dataclass
class Gadget:
    """A person's device, seen from its own side."""

    account: AccountSecret
    secret: DeviceSecret
    sealing: PersonSealingKey

    @classmethod
    def made(cls, person: int, number: int) -> "Gadget":
        def seed(what: str) -> bytes:
            return sha256(f"{what} {person} {number}".encode())

        return cls(
            AccountSecret(sha256(f"{person}".encode())), DeviceSecret(seed("device")), PersonSealingKey(seed("x"))
        )

    def command(
        self, now: int, *, allowed_by: "Gadget | None" = None, person: Person | None = None, audience: str = AUDIENCE
    ) -> EnrolDevice:
        """Return the wish to be enrolled, authorized by another device for the sign-in of `person`."""
        enrolment = enrol(self.account, self.secret, (self.sealing,), audience=audience, now=now)
        text = None
        if allowed_by is not None and person is not None:
            stated = Authorization(
                certificate=certificate_name(enrolment.certificate), sign_in=person.sign_in, created_at=now
            )
            text = sign_authorization(stated, allowed_by.secret.key(AUDIENCE))
        return EnrolDevice(audience=audience, enrolment=enrolment, hint="A laptop", authorization=text)

    def regain(self, now: int, person: Person, **changed: object) -> EnrolDevice:
        """Return the wish to be enrolled after a loss, by the account secret."""
        command = self.command(now)
        values: dict[str, object] = {
            "certificate": certificate_name(command.enrolment.certificate),
            "sign_in": person.sign_in,
            "created_at": now,
        }
        stated = Authorization(**(values | changed))  # type: ignore[arg-type]
        return replace(command, regain=sign_regain(stated, self.account.identity(AUDIENCE)))


def notices(mails: list[MailRow]) -> list[str]:
    """Return the kinds of some mails."""
    return [str(type(decode_notice(mail.notice)).__struct_config__.tag) for mail in mails]
