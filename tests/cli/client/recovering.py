"""By what people of the tests come back after a loss."""

from typing import Final

from cli.client.person import Person
from cli.client.unlock import create_vault, new_state
from protocol.encoding import sha256

from .world import PASSPHRASE, QUICK, Company

ENTROPY: Final = sha256(b"words of the tests")
SENTENCE: Final = "otter plays seven drums before noon"


def another(company: Company, name: str) -> Person:
    """Return a program with a new folder."""
    vault = create_vault(company.folder / "clients" / name, new_state(), passphrase=PASSPHRASE, cost=QUICK)
    return Person(vault)


async def two_ways(person: Person) -> None:
    """Let somebody have recovery words and a passphrase."""
    await person.recovery.add_words(ENTROPY)
    await person.recovery.add_passphrase(SENTENCE)
