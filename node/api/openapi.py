"""The OpenAPI 3.1 document of a route table."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from node.version import version

from .problems import CONTENT_TYPE, Problem
from .routes import Auth, Route

Json = dict[str, Any]

#: How a caller proves who it is, per kind of route.
SECURITY: Final[Mapping[Auth, list[dict[str, list[str]]]]] = {
    "public": [],
    "page": [],
    "device": [{"device": []}],
    "peer": [{"peer": []}],
    "operator": [{"operator": []}],
    "local": [{}, {"operator": []}],
}

SCHEMES: Final[Json] = {
    "device": {"type": "http", "scheme": "bearer", "description": "Token of a signed-in device."},
    "operator": {"type": "http", "scheme": "bearer", "description": "DIR/operator.token, from this machine only."},
    "peer": {
        "type": "apiKey",
        "in": "header",
        "name": "Signature",
        "description": "HTTP message signature (RFC 9421), profile mm-httpsig/1.",
    },
}

_PARAMETER: Final = re.compile(r"\{([a-z_]+)(?::((?:[^{}]|\{[^{}]*\})*))?\}")
_REF: Final = "#/components/schemas/{name}"


def document(routes: Iterable[Route]) -> Json:
    """Return the description of `routes`, paths in order."""
    listed = sorted(routes, key=lambda route: (plain_path(route.path), route.method))
    types = [kind for route in listed for kind in (route.request, route.response) if kind is not None]
    schemas, components = msgspec.json.schema_components([*types, Problem], ref_template=_REF)
    by_type = iter(schemas)
    paths: Json = {}
    for route in listed:
        paths.setdefault(plain_path(route.path), {})[route.method.lower()] = _operation(route, by_type)
    described = {
        "openapi": "3.1.0",
        "info": {"title": "mentormesh node", "version": version(), "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SCHEMES},
    }
    # Defaults stand there as Python values, such as (): make all of it JSON.
    made: Json = msgspec.json.decode(msgspec.json.encode(described))
    return made


def plain_path(path: str) -> str:
    """Return a path without the patterns of its parameters."""
    return _PARAMETER.sub(r"{\1}", path)


def _operation(route: Route, schemas: Iterator[Json]) -> Json:
    operation: Json = {
        "operationId": operation_id(route),
        "summary": route.summary,
        "security": SECURITY[route.auth],
        "x-mentormesh-auth": route.auth,
        "responses": {},
    }
    if parameters := [*_path_parameters(route.path), *_query_parameters(route.query)]:
        operation["parameters"] = parameters
    if route.request is not None or route.request_content_type != "application/json":
        schema = next(schemas) if route.request is not None else {}
        operation["requestBody"] = {"required": True, "content": {route.request_content_type: {"schema": schema}}}
    success: Json = {"description": "Success"}
    if route.response is not None or route.response_content_type != "application/json":
        schema = next(schemas) if route.response is not None else {}
        success["content"] = {route.response_content_type: {"schema": schema}}
    operation["responses"] = {str(route.status): success, "default": _PROBLEM}
    return operation


_PROBLEM: Final[Json] = {
    "description": "A problem (RFC 9457)",
    "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def operation_id(route: Route) -> str:
    """Return a name for generated clients, such as `get_api_v1_me`."""
    words = re.findall(r"[A-Za-z0-9]+", plain_path(route.path))
    return "_".join([route.method.lower(), *words])


def _path_parameters(path: str) -> Iterator[Json]:
    for name, pattern in _PARAMETER.findall(path):
        schema = {"type": "string", "pattern": f"^{pattern}$"} if pattern else {"type": "string"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(query: type[msgspec.Struct] | None) -> Iterator[Json]:
    if query is None:
        return
    for field in msgspec.structs.fields(query):
        schema = msgspec.json.schema(field.type)
        yield {"name": field.encode_name, "in": "query", "required": field.required, "schema": schema}
