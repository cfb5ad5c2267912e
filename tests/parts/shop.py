"""An API of a shop as an OpenAPI document of 50 operations, 3.0 or 3.1, for tests of the tool kind `openapi`.

Tests and the bench build it for the port of a server; `python -m tests.parts.shop PORT` prints it. It has what
documents in use have: schemas that refer to each other and to themselves, arrays in queries in every style, server
variables, five security schemes, a form, a file upload, an operation without a name.
"""

import json
import sys
from typing import Any

Json = dict[str, Any]
THINGS = ("product", "order", "customer", "invoice", "coupon", "review", "shipment", "supplier", "category")
KEY = "X-Api-Key"


def document(port: int, version: str = "3.0.3") -> Json:
    """The document, whose server is at a port of this machine."""
    paths: Json = {}
    for thing in THINGS:
        paths |= _crud(thing)
    paths |= _special()
    return {
        "openapi": version,
        "info": {"title": "Shop", "version": "1.2.3"},
        "servers": [
            {
                "url": "http://{host}:{port}",
                "variables": {"host": {"default": "127.0.0.1"}, "port": {"default": str(port)}},
            }
        ],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": KEY},
                "query_key": {"type": "apiKey", "in": "query", "name": "api_key"},
                "people": {"type": "http", "scheme": "basic"},
                "token": {"type": "http", "scheme": "bearer"},
                "machine": {
                    "type": "oauth2",
                    "flows": {
                        "clientCredentials": {
                            "tokenUrl": f"http://127.0.0.1:{port}/token",
                            "scopes": {"reports": "Read reports"},
                        }
                    },
                },
            },
            "parameters": {"Id": _parameter("id", "path", {"type": "string", "maxLength": 40}, required=True)},
            "schemas": _schemas(version),
            "responses": {
                "NotFound": _answer("There is none.", {"$ref": "#/components/schemas/Problem"}),
            },
        },
    }


def _crud(thing: str) -> Json:
    """List, create, read, replace and delete: five operations."""
    name, schema = thing.capitalize(), {"$ref": f"#/components/schemas/{thing.capitalize()}"}
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    one = {"200": _answer(f"The {thing}.", schema), "404": {"$ref": "#/components/responses/NotFound"}}
    page = [
        _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 100}),
        _parameter("tag", "query", {"type": "array", "items": {"type": "string"}}),
    ]
    return {
        f"/{thing}s": {
            "get": {
                "operationId": f"list{name}s",
                "summary": f"Lists {thing}s.",
                "parameters": page,
                "responses": {"200": _answer(f"The {thing}s.", {"type": "array", "items": schema})},
            },
            "post": {
                "operationId": f"create{name}",
                "summary": f"Makes a {thing}.",
                "requestBody": body,
                "responses": {"201": _answer(f"The {thing}.", schema)},
            },
        },
        f"/{thing}s/{{id}}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "get": {"operationId": f"get{name}", "summary": f"Reads a {thing}.", "responses": one},
            "put": {
                "operationId": f"replace{name}",
                "summary": f"Replaces a {thing}.",
                "requestBody": body,
                "responses": one,
            },
            "delete": {
                "operationId": f"delete{name}",
                "summary": f"Deletes a {thing}.",
                "responses": {"204": {"description": "Gone."}, "404": one["404"]},
            },
        },
    }


def _special() -> Json:
    """Five more, which are unlike the others."""
    numbers = {"type": "array", "items": {"type": "integer"}}
    return {
        "/search": {
            "get": {
                "operationId": "search",
                "summary": "Finds products.",
                "security": [{"query_key": []}],
                "parameters": [
                    {**_parameter("ids", "query", numbers), "style": "form", "explode": False},
                    {**_parameter("sizes", "query", numbers), "style": "pipeDelimited", "explode": False},
                    {
                        **_parameter("price", "query", {"$ref": "#/components/schemas/Range"}),
                        "style": "deepObject",
                        "explode": True,
                    },
                    _parameter("X-Trace", "header", {"type": "string"}),
                ],
                "responses": {"200": _answer("What was found.", {"type": "array", "items": {"type": "string"}})},
            }
        },
        "/reports/{year}": {
            "get": {
                "summary": "Reads the report of a year.",
                "security": [{"machine": ["reports"]}, {"people": []}],
                "parameters": [_parameter("year", "path", {"type": "integer"}, required=True)],
                "responses": {"200": _answer("The report.", {"$ref": "#/components/schemas/Report"})},
            }
        },
        "/contact": {
            "post": {
                "operationId": "contact",
                "summary": "Writes to the shop.",
                "security": [{"token": []}],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/x-www-form-urlencoded": {"schema": {"$ref": "#/components/schemas/Letter"}}
                    },
                },
                "responses": {"202": {"description": "Taken."}},
            }
        },
        "/health": {
            "get": {
                "operationId": "health",
                "security": [],
                "responses": {
                    "200": _answer("Well.", {"type": "object", "properties": {"ok": {"type": "boolean"}}})
                },
            }
        },
        "/products/{id}/picture": {
            "put": {
                "operationId": "uploadPicture",
                "summary": "Sets the picture of a product.",
                "parameters": [{"$ref": "#/components/parameters/Id"}],
                "requestBody": {
                    "required": True,
                    "content": {
                        "multipart/form-data": {
                            "schema": {
                                "type": "object",
                                "properties": {"file": {"type": "string", "format": "binary"}},
                            }
                        }
                    },
                },
                "responses": {"204": {"description": "Set."}},
            }
        },
    }


def _schemas(version: str) -> Json:
    old = version.startswith("3.0")
    note: Json = {"type": "string", "nullable": True} if old else {"type": ["string", "null"]}
    price: Json = {"type": "number", "minimum": 0}
    price |= {"exclusiveMinimum": True} if old else {}
    thing: Json = {
        "type": "object",
        "required": ["id", "name"],
        "properties": {
            "id": {"type": "string", "readOnly": True},
            "name": {"type": "string", "minLength": 1},
            "price": price,
            "note": note,
            "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Product"}},
        },
    }
    text = {"type": "string"}
    return {
        **{name.capitalize(): thing for name in THINGS},
        "Range": {"type": "object", "properties": {"from": {"type": "number"}, "to": {"type": "number"}}},
        "Report": {"type": "object", "properties": {"total": {"type": "number"}}},
        "Letter": {"type": "object", "required": ["text"], "properties": {"text": text, "from": text}},
        "Problem": {"type": "object", "properties": {"title": text}},
    }


def _parameter(name: str, where: str, schema: Json, *, required: bool = False) -> Json:
    return {"name": name, "in": where, "schema": schema, **({"required": True} if required else {})}


def _answer(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


if __name__ == "__main__":
    print(json.dumps(document(int(sys.argv[1])), indent=1))
