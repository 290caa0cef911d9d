"""Fingerprints of keys as words that two people can compare by phone.

Eight words of 256 carry 64 bits of a hash of the key. The list is our own and in the public domain (CC0): words of 4 to
8 letters, no two of which begin with the same four letters or differ in fewer than three.
Source: docs/protocol/20-identity.md §5.
"""

from typing import Final

from .encoding import label, sha256
from .signing import VerifyKey

WORD_COUNT: Final = 8

_LIST: Final = """
    acid acorn acrobat adult agent alarm alley amber anchor angle april arch arrow atlas attic autumn avenue baby
    badge bakery balcony bamboo basin beach beaver berry bicycle bird biscuit blanket bloom bonus bottle bowl bread
    brick brush bucket button cactus camel canoe captain carpet castle cedar cello chair cheese chimney cinema
    circle clay cliff clock cobra coffee compass copper cousin crater crown cushion daisy dawn deer dentist dinner
    doctor dolphin dragon drum duck dungeon east echo elbow elephant emerald engine envelope evening fabric feather
    fern fiddle field figure fish flute foam forest fossil fruit galaxy garden gate giraffe glacier glass globe gold
    gondola grocery guitar hammock harbor harvest helmet hexagon hill honey horse iceberg igloo indigo insect
    invoice island ivory jasmine jazz jewel jigsaw journal juniper kangaroo kayak keyboard king kitchen koala ladder
    lagoon lamp lantern lavender leaf lemon letter lizard lobby lobster lunch magnet mammoth mango marble meadow
    metal meteor mirror moon mountain muffin museum mustard nail napkin nectar needle nickel night north notebook
    novel nutmeg ocean octopus olive onion opera orange orchard origami ostrich outfit palace panda paper parsley
    pebble pencil penguin piano picnic pilot pizza postcard potato pumpkin puzzle pyramid quartz queen quilt rabbit
    radio rainbow raven reindeer rhubarb ribbon robin ruler sailor salad salmon sapphire school scooter silver sleep
    smile snow sofa spinach spring squirrel star statue stone summer sunset taxi teapot temple thunder tiger tractor
    train trolley trumpet tulip tunnel turtle umbrella unicorn utensil vacuum vanilla village vineyard violin
    volcano waffle walnut wardrobe whale wheat whistle window yacht yogurt zenith zigzag
"""
WORDS: Final = tuple(_LIST.split())


def fingerprint_words(key: VerifyKey) -> str:
    """Return the eight words of a key, such as `kayak lemon …`; both sides must read the same."""
    return words_of(key.keyid)


def words_of(keyid: str) -> str:
    """Return the eight words of a key of which only the RFC 7638 thumbprint is known, as in a ticket."""
    return " ".join(WORDS[byte] for byte in sha256(label("fingerprint"), keyid.encode("ascii"))[:WORD_COUNT])
