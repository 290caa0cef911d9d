"""Where each known attack is tested: its number in our list of real attacks on federated systems and on logs.

`python -m pytest tests/attacks` plays those that are tested here; the others live where their part of the program does.
"""

from typing import Final

from . import lines_network, lines_signatures, lines_state
from .line import Line

LINES: Final[dict[int, Line]] = {**lines_network.LINES, **lines_signatures.LINES, **lines_state.LINES}
