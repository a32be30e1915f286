"""The OpenAPI document, made from the table of routes and the dataclasses that they take and answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from nodes.admin.refusals import JSON
from nodes.admin.routes import Route

VERSION: Final = "3.1.0"
_REFERENCE: Final = "#/components/schemas/{name}"
_ALWAYS: Final = {
    "400": "What was sent is no request that the route knows.",
    "403": "A page of another site asked, or the role may not.",
    "413": "The body is too long.",
    "415": "The body is packed, or is not JSON.",
    "429": "Too many wrong secrets from there, or for that name; Retry-After says for how long.",
    "500": "Our mistake.",
}
_IDENTIFIED: Final = {"401": "Nobody known: sign in, or send a bearer."}
_WORKED: Final = {"409": "The node refuses; the reason says why.", "503": "Not now: Retry-After says when."}
_READ: Final = {"408": "The body did not arrive in time."}


def document(routes: Iterable[Route], version: str, cookie: str) -> Mapping[str, Any]:
    """Return the document as plain data. `cookie`: the name of the session's."""
    table = tuple(routes)
    types = [kind for route in table for kind in (route.answer, route.order) if kind is not None]
    _, schemas = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for route in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    error = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    return {
        "openapi": VERSION,
        "info": {"title": "Ringmaster", "version": version, "license": {"name": "AGPL-3.0-or-later"}},
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Error": error},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "NAME.SECRET, or the node's token."},
                "session": {"type": "apiKey", "in": "cookie", "name": cookie},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    errors = {**_ALWAYS, **_WORKED}
    if route.least or route.order:
        errors |= _IDENTIFIED  # wrong credentials, where nobody is asked for a session
    if route.order:
        errors |= _READ
    operation: dict[str, Any] = {
        "summary": route.what,
        "security": [{"bearer": []}, {"session": []}] if route.least else [],
        "responses": {"200": {"description": "Done.", **_content(route.answer)}},
    }
    if route.least:
        operation["description"] = f"For {route.least} and above."
    operation["responses"] |= {code: {"description": why, **_error()} for code, why in sorted(errors.items())}
    if route.order is not None:
        operation["requestBody"] = {"required": True, **_content(route.order)}
    return operation


def _content(kind: type | None) -> dict[str, Any]:
    if kind is None:
        return {}
    return {"content": {JSON: {"schema": {"$ref": _REFERENCE.format(name=kind.__name__)}}}}


def _error() -> dict[str, Any]:
    return {"content": {JSON: {"schema": {"$ref": _REFERENCE.format(name="Error")}}}}


__all__ = ["document"]
