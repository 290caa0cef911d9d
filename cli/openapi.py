"""`mentormesh openapi`: print the description of the HTTP interface."""

import json

import click

from .output import Output, json_option


@click.command()
@json_option
def openapi(*, as_json: bool) -> None:
    """Print the description of the HTTP interface (OpenAPI 3.1)."""
    from node.api.openapi import document
    from node.api.table import ALL_ROUTES

    described = document(ALL_ROUTES)
    Output(as_json=as_json).result(described, json.dumps(described, indent=2, ensure_ascii=False))
