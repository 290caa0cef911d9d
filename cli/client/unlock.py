"""How a person's vault is unlocked: passphrase file, environment, OS keyring, or a question on the terminal.

The keyring library is imported only for a vault whose key it keeps: it takes a twentieth of the start of a command.
"""

import base64
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from protocol.e2ee.vault import DEFAULT_COST, KEY_BYTES, SALT_BYTES, Cost, VaultKey, read_header, unlock
from protocol.errors import MalformedError, MissingError, UnavailableError

from .state import ClientState
from .vault import ClientVault, read_container

VARIABLE: Final = "MENTORMESH_PASSPHRASE"
KEYRING_SERVICE: Final = "mentormesh"
MIN_PASSPHRASE_CHARACTERS: Final = 8

Ask = Callable[[], str]


def given_passphrase(file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the passphrase of `file` (its first line), else of `MENTORMESH_PASSPHRASE`, else None.

    Raises: UnavailableError: the file cannot be read; MalformedError: it is empty or not UTF-8.
    """
    if file is None:
        return environment.get(VARIABLE) or None
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UnavailableError(f"cannot read the passphrase file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise MalformedError(f"the passphrase file {file} is not UTF-8 text") from None
    if not text.splitlines() or not text.splitlines()[0]:
        raise MalformedError(f"the passphrase file {file} has an empty first line")
    return text.splitlines()[0]


def open_vault(folder: Path, *, passphrase: str | None, ask: Ask) -> ClientVault:
    """Return the vault of `folder`, unlocked by the OS keyring, by `passphrase`, or by what `ask` returns.

    Raises: MissingError: no vault, or its key left the keyring; WrongKeyError, DamagedVaultError, UnavailableError.
    """
    container = read_container(folder)
    name = read_header(container).key_name
    if name is None:
        key, _ = unlock(container, ask() if passphrase is None else passphrase)
        return ClientVault(folder, key)
    key = VaultKey(_from_keyring(name), name=name)
    key.open(container)
    return ClientVault(folder, key)


def create_vault(folder: Path, state: ClientState, *, passphrase: str, cost: Cost = DEFAULT_COST) -> ClientVault:
    """Return a new vault sealed by a passphrase of at least 8 characters. Raises: MalformedError, ConflictError."""
    if len(passphrase) < MIN_PASSPHRASE_CHARACTERS:
        raise MalformedError(f"the passphrase must have at least {MIN_PASSPHRASE_CHARACTERS} characters")
    key = VaultKey.from_passphrase(passphrase, salt=secrets.token_bytes(SALT_BYTES), cost=cost)
    return ClientVault.create(folder, key, state)


def create_keyring_vault(folder: Path, state: ClientState) -> ClientVault:
    """Return a new vault whose key the OS keyring keeps.

    Raises: UnavailableError: this machine has no keyring (use a passphrase); ConflictError.
    """
    name, key = secrets.token_urlsafe(16), secrets.token_bytes(KEY_BYTES)
    _into_keyring(name, key)
    try:
        return ClientVault.create(folder, VaultKey(key, name=name), state)
    except BaseException:
        _forget(name)
        raise


def discard(vault: ClientVault) -> None:
    """Take away a vault that was made in vain, with its key in the keyring."""
    name = read_header(read_container(vault.folder)).key_name
    vault.discard()
    if name is not None:
        _forget(name)


def new_state() -> ClientState:
    """Return the state of a first device: fresh account and device secrets, nothing else."""
    return ClientState(account_seed=secrets.token_bytes(32), device_seed=secrets.token_bytes(32))


def _from_keyring(name: str) -> bytes:
    import keyring.errors

    try:
        text = keyring.get_password(KEYRING_SERVICE, name)
    except keyring.errors.KeyringError:
        raise UnavailableError("the keyring of this machine does not answer: unlock it and try again") from None
    if text is None:
        raise MissingError("the keyring of this machine no longer has the key of this vault")
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise MalformedError("the keyring holds something else in place of the vault's key")
    return key


def _into_keyring(name: str, key: bytes) -> None:
    import keyring.errors

    try:
        keyring.set_password(KEYRING_SERVICE, name, base64.b64encode(key).decode("ascii"))
    except keyring.errors.KeyringError:
        raise UnavailableError("this machine has no usable keyring: seal the vault with a passphrase") from None


def _forget(name: str) -> None:
    """Take a key of no vault out of the keyring, if it is there."""
    import keyring.errors

    try:
        keyring.delete_password(KEYRING_SERVICE, name)
    except keyring.errors.KeyringError:
        return
