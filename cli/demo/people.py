"""Names for fictional people, and the few who act in the demo."""

import random
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

_FIRST = """
    Ada Alva Amir Anouk Aron Bela Bruno Carla Cem Dalia Dario Edda Elif Enzo Esra Fadi Femi Finn Gero Greta Hanno
    Hedda Idris Ines Ivo Jara Jonas Juno Kaan Kira Lale Leif Lenja Lior Mara Milo Mina Nael Nora Ole Orla Pia Quim
    Rafi Rhea Runa Samir Selma Silas Tara Theo Tilda Ugo Uma Vera Viggo Wanda Xenia Yara Yves Zita Zoran
"""
FIRST: Final = tuple(_FIRST.split())
_LAST = """
    Abenroth Amselfeld Arendsen Bachtaler Berliner Birkwald Blumau Brunnhof Castellano Dahlgren Dornbach Eichstedt
    Elderbrook Ensling Falkner Farrow Fennimore Gannet Glimmer Grundel Hallbrook Haselau Hollander Ibsenrud Innfeld
    Jasper Jorgova Kestrel Kirschbaum Kolbe Lachner Larkin Lindenau Mallow Marisco Mohnfeld Nachtigal Nettle Norling
    Oakhurst Okafo Orloff Pappelhof Pellworm Quendel Quillfeather Rabenau Rosmarin Rushmere Salbei Sandrini Seeborg
    Thistlewood Tannert Ulmer Umbriel Vanderlin Veilchen Wacholder Wintergreen Yarrow Zedern Zirbel
"""
LAST: Final = tuple(_LAST.split())

#: What somebody of the cast holds in their hands.
Device = Literal["laptop", "phone"]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who acts: `key` names their folder, `name` is what the other person reads, `company` a node's name."""

    key: str
    name: str
    company: str

    @property
    def mail(self) -> str:
        """The address in the member file; it is derived from the name as in most companies."""
        return mail_of(self.name, self.company)


class Cast(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts: the mentee, the mentor who accepts, the others who have been through it, and a mentee who is faster."""

    ana: Part
    ben: Part
    rival: Part
    others: tuple[Part, ...]

    @property
    def mentors(self) -> tuple[Part, ...]:
        """Everybody who can be proposed to Ana."""
        return (self.ben, *self.others)

    @property
    def all(self) -> tuple[Part, ...]:
        """Everybody with a device."""
        return (self.ana, self.rival, *self.mentors)

    def at(self, company: str) -> tuple[Part, ...]:
        """Return those who work at one company."""
        return tuple(one for one in self.all if one.company == company)


def cast_for(companies: tuple[str, ...]) -> Cast:
    """Return the cast for one, two or three companies, given by node name; Ana works at the first, Ben at the last."""
    first, last = companies[0], companies[-1]
    middle = companies[1] if len(companies) == 3 else last
    return Cast(
        ana=Part(key="ana", name="Ana Duarte", company=first),
        ben=Part(key="ben", name="Ben Adeyemi", company=last),
        # With three companies somebody of the third is faster; else a colleague of Ana's.
        rival=Part(key="hana", name="Hana Brightwater", company=last if len(companies) == 3 else first),
        others=(
            Part(key="doro", name="Doro Lindqvist", company=middle),
            Part(key="emil", name="Emil Sandoval", company=middle),
            *(
                (Part(key="fay", name="Fay Whitlock", company=last), Part(key="gus", name="Gus Marlowe", company=last))
                if len(companies) == 3
                else ()
            ),
        ),
    )


def mail_of(name: str, company: str) -> str:
    """Return the mail address of a fictional person."""
    return f"{name.lower().replace(' ', '.')}@{company}.example"


def names(rng: random.Random) -> Iterator[str]:
    """Yield different names in an order of their own; none is that of somebody who acts."""
    pairs = [f"{first} {last}" for first in FIRST for last in LAST]
    rng.shuffle(pairs)
    yield from pairs
