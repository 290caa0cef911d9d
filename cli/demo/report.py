"""`report.html`: the same story on one page that needs no script and loads nothing."""

import os
from pathlib import Path
from typing import Final

import jinja2

from .actors import PASSPHRASE
from .database import OWN
from .events import Summary
from .scenes import Pane, Scene
from .screen import PANES
from .setting import Setting
from .story import Told
from .witnesses import MEANING

TEMPLATE: Final = "report.html.j2"
FILE: Final = "report.html"


def write_report(setting: Setting, told: Told, scenes: tuple[Scene, ...], summary: Summary) -> Path:
    """Write the report into the folder of the demo and return where it is. Raises: OSError."""
    path = setting.folder / FILE
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(render(setting, told, scenes, summary))
    return path


def render(setting: Setting, told: Told, scenes: tuple[Scene, ...], summary: Summary) -> str:
    """Return the page; everything that is not part of the template is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cast = setting.world.cast
    titles: dict[Pane, str] = {
        "mentee": f"Ana at {setting.node(cast.ana.company).plan.display_name}",
        "servers": "The companies’ servers" if len(setting.nodes) > 1 else "The company’s server",
        "mentor": f"Ben at {setting.node(cast.ben.company).plan.display_name}",
    }
    return environment.get_template(TEMPLATE).render(
        scenes=scenes,
        panes=PANES,
        titles=titles,
        told=told,
        summary=summary,
        companies=[
            {
                "plan": node.plan,
                "listed": setting.listed[node.plan.name],
                "searched": told.searched.by_node.get(node.plan.name, 0),
                "hits": told.searched.hits_at(node.plan.name),
            }
            for node in setting.nodes
        ],
        wholes=[
            {"searched": told.searched.by_node.get(name, 0), "hits": told.searched.hits_at(name)}
            for name in setting.elsewhere.files
        ],
        kept=OWN,
        names={node.plan.name: node.plan.display_name for node in setting.nodes},
        passphrase=PASSPHRASE,
        meaning=MEANING,
    )
