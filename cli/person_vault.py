"""The vault of a command that may be the first one in a folder."""

from pathlib import Path

from cli.client.unlock import create_keyring_vault, create_vault, new_state, open_vault
from cli.client.vault import FILE_NAME, ClientVault

from .person_access import ask_passphrase


def vault_of(folder: Path, passphrase: str | None, *, keyring: bool) -> ClientVault:
    """Return the vault of a folder, made now if there is none."""
    if (folder / FILE_NAME).exists():
        return open_vault(folder, passphrase=passphrase, ask=ask_passphrase)
    if keyring:
        return create_keyring_vault(folder, new_state())
    return create_vault(folder, new_state(), passphrase=passphrase or ask_passphrase(confirm=True))
