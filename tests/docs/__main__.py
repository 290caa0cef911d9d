"""Write the reference pages anew: `python -m tests.docs`."""

from tests.architecture.house import ROOT

from .fields import fields_page
from .reference import write

write(ROOT / "docs" / "reference")
(ROOT / "docs" / "protocol" / "05-fields.md").write_text(fields_page(), encoding="utf-8")
