"""What a person's client tells about the ways back into the account and about its keys."""

from .views import Synced, View


class SlotView(View, frozen=True, kw_only=True):
    """One way back into the account."""

    slot: str
    kind: str
    added_at: int


class MasterKeyChanged(View, frozen=True, kw_only=True):
    """What a change of one's own master key did; `told` counts open sessions."""

    old_key: str
    new_key: str
    told: int
    synced: Synced


class Restored(View, frozen=True, kw_only=True):
    """What a device that came back did: so many lost devices were removed, so many open sessions are asked for."""

    entity: str
    name: str
    removed: int
    sessions: int = 0
    synced: Synced
