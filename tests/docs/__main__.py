"""Write the reference pages anew: `python -m tests.docs`."""

from tests.architecture.house import ROOT

from .reference import write

write(ROOT / "docs" / "reference")
