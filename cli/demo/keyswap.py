"""`mentormesh demo --attack key-swap`: an employer's node shows others a key of its own as that of its member.

The administrator of Aurora changes a row in the node's database; the node publishes what it says. All the rest is what
every node and every client does by itself.
"""

import asyncio
import secrets
import time
from pathlib import Path
from typing import Final

from cli.client.check_views import CheckOutcome, KeyCheck
from cli.client.keychecks import UnprovenError
from cli.client.pins import document_of
from protocol.addresses import audience_id
from protocol.e2ee.keys import AccountSecret, DeviceSecret
from protocol.e2ee.safety import safety_number
from protocol.errors import MeshError, UnavailableError
from protocol.keyproof import Circle, parse_proof, verify_proof

from .events import SwapSummary
from .patience import waiting
from .setting import Setting
from .swap import Impostor, put_in, take_out
from .telling import Telling

LOOK_EVERY_S: Final = 0.5


class KeySwap:
    """One run: Ana's employer wants to be Ana towards Cobalt."""

    def __init__(self, setting: Setting, telling: Telling) -> None:
        cast = setting.world.cast
        self._telling: Final = telling
        self._setting: Final = setting
        self._ana: Final = setting.actor(cast.ana)
        self._ben: Final = setting.actor(cast.ben)
        self._home: Final = setting.node(cast.ana.company)
        self._foreign: Final = setting.node(cast.ben.company)
        self._audience: Final = audience_id(self._home.plan.entity, self._foreign.plan.entity)
        state = self._ana.person.state
        self._device: Final = state.device_secret.key(self._audience).public.text
        self._impostor: Final = Impostor(
            account=AccountSecret(secrets.token_bytes(32)),
            device=DeviceSecret(secrets.token_bytes(32)),
            label=state.account_secret.label(self._audience),
        )
        self._looks: Final[list[KeyCheck]] = []
        self._verified = ""

    async def run(self) -> SwapSummary:
        """Play it and return what each of them saw; what does not happen in time is said there."""
        missed = ""
        self._ana.person.self_check.connect(self._foreign.plan.entity, self._foreign.url.removeprefix("http://"))
        try:
            await self._before()
            await self._swap_at_once()
            await self._swap_patiently()
            await self._show_ben()
            self._show_ana()
            await self._show_proof()
        except UnavailableError as error:
            missed = str(error)
        return SwapSummary(
            attack="key-swap",
            caught=not missed and bool(self._verified),
            by=self._home.plan.entity,
            looks=tuple(one.outcome for one in self._looks),
            evidence=self._verified,
            missed=missed,
            folder=str(self._setting.folder),
            seconds=self._telling.seconds,
        )

    async def _before(self) -> None:
        self._telling.scene("Everything is as it should be")
        found = await self._look("clean")
        self._telling.say(
            "ana",
            f"her program reads all {found.entries} entries that {self._foreign.plan.short} holds of her company.",
        )
        self._telling.say("ana", f"{found.sentence}.")

    # The swap

    async def _swap_at_once(self) -> None:
        self._telling.scene("The administrator puts a key of his own in the place of Ana's")
        await self._put_in(self._device)
        self._telling.say(self._home.plan.name, "a row of the database changes; the node signs the new directory.")
        found = await self._look("unreached")
        self._telling.say(
            self._foreign.plan.name,
            "its mirror takes no other key under a label that it holds: it attests nothing, and nobody there uses it.",
        )
        self._telling.say("ana", f"{found.sentence}.")
        try:
            await self._ben.person.prove(self._wanted(), patience_s=0)
        except MeshError as error:
            self._telling.say("ben", f"his program uses no key of Aurora's now: {error}.")
        else:
            raise UnavailableError("the swapped key was accepted at once")

    async def _swap_patiently(self) -> None:
        self._telling.scene("He tries again, in two steps")
        key = self._impostor.device.key(self._audience).public.text
        await asyncio.to_thread(take_out, self._home.database, device_key=key)
        found = await self._look("hidden")
        self._telling.say(self._home.plan.name, "first Ana's entry vanishes from the directory.")
        self._telling.say("ana", f"RED: {found.sentence}.")
        await self._put_in(key)
        self._telling.say(self._home.plan.name, "then his own key appears under her label, as if she were new.")

    async def _put_in(self, device_key: str) -> None:
        await asyncio.to_thread(
            put_in,
            self._home.database,
            self._impostor,
            device_key=device_key,
            audience=self._audience,
            now=int(time.time()),
        )

    # What each of them sees

    async def _show_ben(self) -> None:
        self._telling.scene("What Ben's program sees")
        await self._look("swapped")
        proven = await self._ben.person.prove(self._wanted())
        who = "attested by his own company" if proven.witnessed else "attested by nobody"
        self._telling.say("ben", f"a key of somebody at Aurora, in its log, {who}. By itself it cannot tell.")
        theirs = self._ben.person.state.account_secret.master().public
        wrong = safety_number(theirs, self._impostor.account.master().public)
        right = safety_number(theirs, self._ana.person.state.account_secret.master().public)
        if wrong == right:
            raise UnavailableError("both safety numbers are the same")
        self._telling.say("ben", f"in a session his screen would show  {wrong[:23]} …")
        self._telling.say("ana", f"hers would show                      {right[:23]} …")
        self._telling.say("", "Whoever compares them by phone notices at once. Nobody has to, for what comes next.")

    def _show_ana(self) -> None:
        self._telling.scene("What Ana's program sees, once a day and without being asked")
        self._telling.say("ana", f"RED: {self._looks[-1].sentence}.")

    async def _show_proof(self) -> None:
        self._telling.scene("The proof needs nobody's word")
        file = Path(self._looks[-1].evidence)
        proof = parse_proof(await asyncio.to_thread(file.read_bytes))
        state = self._ana.person.state
        members = (self._home.plan.entity, self._foreign.plan.entity)
        circle = Circle(
            audience=self._audience,
            members=members,
            documents={entity: document_of(state, entity) for entity in members},
        )
        try:
            shown = verify_proof(proof, circle, origin=members[0], now=int(time.time()))
        except MeshError as error:
            raise UnavailableError(f"{file.name} does not verify: {error}") from None
        if shown.opened.entry.identity_key != self._impostor.account.identity(self._audience).public.text:
            raise UnavailableError(f"{file.name} proves another key")
        self._verified = str(file)
        self._telling.say("ana", f"keeps {file}.")
        self._telling.say(
            "",
            f"It holds {self._home.plan.short}'s signature under a directory with that key (head "
            f"{shown.head.head.seq}), its place in {self._home.plan.short}'s log (size {shown.head.checkpoint.size}), "
            f"and {self._foreign.plan.short}'s word that it holds the same.",
        )

    def _wanted(self) -> UnprovenError:
        return UnprovenError(
            origin=self._home.plan.entity,
            audience=self._audience,
            identity_key=self._impostor.account.identity(self._audience).public.text,
            devices=(self._impostor.device.key(self._audience).public.text,),
        )

    async def _look(self, outcome: CheckOutcome) -> KeyCheck:
        """Return Ana's look at Cobalt once it comes to this: directories are published and copied within seconds."""
        async with waiting(f"Ana's look never came to `{outcome}`"):
            while True:
                for one in await self._ana.person.self_check.all():
                    if one.outcome == outcome and one.entity:
                        self._looks.append(one)
                        return one
                await asyncio.sleep(LOOK_EVERY_S)
