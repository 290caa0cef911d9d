"""`mentormesh init`: make a new node in an empty directory."""

from pathlib import Path
from typing import Any, Final

import click
import msgspec

from node.birth import create_node
from node.clock import SystemEntropy
from node.sections import Config
from protocol.ids import parse_entity

from .output import Output, json_option

SIZES: Final = ("<50", "50-250", "250-1k", "1k-5k", ">5k")


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A new node."""

    directory: str
    name: str
    entity: str
    listen: str
    next: tuple[str, ...]


@click.command()
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="Directory to make, new or empty."
)
@click.option("--entity", help="Identifier of the organization's node, such as https://mentors.aurora.example.")
@click.option("--name", help="Name of the organization, as others see it.")
@click.option("--country", "countries", multiple=True, help="Country with members, such as DE; may be repeated.")
@click.option("--sector", help="NACE section letter, A to U.")
@click.option("--size", type=click.Choice(SIZES), help="Number of employees.")
@click.option("--kind", type=click.Choice(["company", "association"]), default="company", show_default=True)
@click.option("--website", default="", help="Public website.")
@click.option("--language", "languages", multiple=True, help="Language of the site, such as en; may be repeated.")
@click.option("--time-zone", help="IANA time zone of the site, such as Europe/Berlin.")
@click.option("--listen", help="Address and port to listen on.", default="127.0.0.1:8440", show_default=True)
@click.option("--api-base", default="", help="Where peers reach this node, if not at its entity identifier.")
@click.option("--development", is_flag=True, help="Several nodes on one machine, without TLS.")
@click.option("--yes", is_flag=True, help="Ask nothing; take defaults for what is not given.")
@json_option
def init(
    *,
    directory: Path | None,
    entity: str | None,
    name: str | None,
    yes: bool,
    as_json: bool,
    **rest: Any,  # noqa: ANN401 -- the other options, as click gives them
) -> None:
    """Make a new node in an empty directory.

    Without --yes it asks for what is not given. Nothing is written before everything is known to be right.
    """
    ask = _no_questions if yes else _question
    directory = directory or Path(ask("--dir", "Directory of the new node", "mentormesh-node"))
    entity = entity or ask("--entity", "Identifier of the node (https://…, the name peers will know)", None)
    parse_entity(entity)
    name = name or ask("--name", "Name of the organization", None)
    settings = _settings(entity, name, rest, ask)
    config = create_node(directory, settings, SystemEntropy())
    _report(directory, config, Output(as_json=as_json))


def _question(_option: str, text: str, default: str | None) -> str:
    answer: str = click.prompt(text, default=default, err=True)
    return answer


def _no_questions(option: str, _text: str, default: str | None) -> str:
    if default is None:
        raise click.UsageError(f"{option} is needed with --yes.")
    return default


def _settings(entity: str, name: str, rest: dict[str, Any], ask: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401 -- one of two functions
    countries = rest["countries"] or tuple(ask("--country", "Countries with members (DE, FR …)", "DE").split())
    languages = rest["languages"] or tuple(ask("--language", "Languages of the site (en, de …)", "en").split())
    org = {
        "display_name": name,
        "kind": rest["kind"],
        "sector": rest["sector"] or ask("--sector", "NACE section letter (A to U)", "M"),
        "size_band": rest["size"] or ask("--size", f"Number of employees ({', '.join(SIZES)})", "50-250"),
        "countries": sorted({country.strip(",").upper() for country in countries}),
        "website": rest["website"],
        "languages": [language.strip(",") for language in languages],
        "time_zone": rest["time_zone"] or ask("--time-zone", "Time zone of the site", "UTC"),
    }
    node = {"entity": entity, "listen": rest["listen"]}
    if rest["api_base"]:
        node["api_base"] = rest["api_base"]
    settings: dict[str, dict[str, Any]] = {"node": node, "org": org, "mail": {"mode": "drop"}}
    if rest["development"]:
        settings["development"] = {"enabled": True}
    return settings


def _report(directory: Path, config: Config, output: Output) -> None:
    steps = (
        f"Move {directory / 'recovery.key'} to a safe place offline: it is needed only if the node's keys are lost.",
        f"Start the node: mentormesh serve --dir {directory}",
        f"Check it: mentormesh doctor --dir {directory}",
    )
    made = Made(
        directory=str(directory),
        name=config.name,
        entity=config.node.entity,
        listen=config.node.listen,
        next=steps,
    )
    lines = [f"Made the node {config.name} ({config.node.entity}) in {directory}.", "", "Next:"]
    output.result(made, [*lines, *(f"  {number}. {step}" for number, step in enumerate(steps, 1))])
