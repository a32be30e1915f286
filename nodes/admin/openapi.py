"""The OpenAPI document, made from the table of routes and the dataclasses that they take and answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from nodes.admin.api import OPEN, Route

VERSION: Final = "3.1.0"
_REFERENCE: Final = "#/components/schemas/{name}"
_ERRORS: Final = {
    "400": "The body is wrong.",
    "401": "The token is missing or wrong.",
    "403": "A page of another site asked.",
    "409": "The node refuses; the reason says why.",
    "503": "A process that is needed is not there.",
}


def document(routes: Iterable[Route], version: str) -> Mapping[str, Any]:
    """Return the document as plain data."""
    table = tuple(routes)
    types = [kind for route in table for kind in (route.answer, route.order) if kind is not None]
    _, schemas = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for route in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": VERSION,
        "info": {"title": "Ringmaster", "version": version, "license": {"name": "AGPL-3.0-or-later"}},
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Error": {"type": "object", "properties": {"error": {"type": "string"}}}},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.what,
        "security": [] if route.path in OPEN else [{"token": []}],
        "responses": {"200": {"description": "Done.", **_content(route.answer)}},
    }
    if route.path not in OPEN:
        operation["responses"] |= {code: {"description": why, **_error()} for code, why in _ERRORS.items()}
    if route.order is not None:
        operation["requestBody"] = {"required": True, **_content(route.order)}
    return operation


def _content(kind: type | None) -> dict[str, Any]:
    if kind is None:
        return {}
    return {"content": {"application/json": {"schema": {"$ref": _REFERENCE.format(name=kind.__name__)}}}}


def _error() -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": _REFERENCE.format(name="Error")}}}}


__all__ = ["document"]
