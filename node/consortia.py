"""Consortia, joined: the ones this node belongs to, and the one whose registry it is."""

from typing import Final

from federation.registry import RegistryPolicy, RegistryService

from .parts import Base, Catalog, Peering
from .services.registry import RegistryOperations
from .status import Alert

HOUR_S: Final = 3600
#: A node whose own statement ends so soon without a newer one should look at its registry.
ENDS_SOON_S: Final = 8 * HOUR_S


class Consortia:
    """The part of one node in consortia."""

    def __init__(self, base: Base, peering: Peering, catalog: Catalog) -> None:
        settings = base.config.registry
        self._base: Final = base
        self.memberships: Final = peering.meeting.memberships
        self.registry: Final = RegistryService(
            store=base.store,
            clock=base.clock,
            entropy=base.entropy,
            directory=peering.directory,
            publisher=catalog.publisher,
            audience=peering.meeting.listed,
            calls=peering.calls,
            post=peering.sets.post,
            own=base.entity,
            key=base.keys.log,
            policy=RegistryPolicy(
                life_s=settings.statement_hours * HOUR_S,
                head_every_s=base.config.editions.head_every_s,
                development=base.config.development.enabled,
            ),
        )
        base.on_new_keys(lambda keys: self.registry.rekey(keys.log))
        peering.directory.watch(self.registry.wake)
        self.operations: Final = RegistryOperations(
            self.registry, self.memberships, peering.service, consortium=base.config.registry.consortium()
        )

    @property
    def is_registry(self) -> bool:
        """Whether this node is the registry of a consortium."""
        return self._base.config.registry.enabled

    async def start(self) -> None:
        """Load who is a member where."""
        await self.memberships.start()
        if self.is_registry:
            await self.registry.start()

    def start_jobs(self) -> None:
        """Start the background work."""
        self._base.jobs.start("seats", self.memberships.keep_seats)
        self._base.jobs.start("memberships", self.memberships.run)
        if self.is_registry:
            self._base.jobs.start("registry", self.registry.run)

    async def alerts(self) -> tuple[Alert, ...]:
        """Return what an administrator should look at."""
        found: list[Alert] = []
        now = self._base.clock.now()
        for one in await self.memberships.memberships():
            if one.standing == "active" and one.expires_at - now < ENDS_SOON_S:
                detail = f"what {one.registry} states about this node ends soon and was not renewed"
                found.append(Alert(about="consortium", detail=detail, fix="ask its administrator whether it runs"))
            elif one.standing not in {"active", "waiting"}:
                detail = f"this node is no member of {one.name} now ({one.standing})"
                found.append(Alert(about="consortium", detail=detail, fix=f"ask the administrator of {one.registry}"))
            found += [
                Alert(
                    about="consortium",
                    detail=f"{fellow.entity} cannot be met through {one.registry}: {fellow.problem}",
                    fix="compare the key's words by phone; until then nothing is sent there",
                )
                for fellow in one.fellows
                if fellow.status == "active"
                and fellow.problem.endswith(("key-conflict", "key-changed", "key-not-held", "host-not-proven"))
            ]
        return tuple(found)
