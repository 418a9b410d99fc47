"""Validate answers against the API document: reads {"document", "answers": [{"method", "path", "status", "body"}]}, prints complaints.

The document is OpenAPI 3.0, so `nullable` counts (OAS 3.0 dialect of openapi-schema-validator).
"""

import json
import sys
from pathlib import Path

import yaml
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4


def schema_of(document, method, path, status):
    responses = document["paths"][path][method.lower()]["responses"]
    found = responses.get(str(status)) or responses[f"{str(status)[0]}XX"]
    if "$ref" in found:
        found = document["components"]["responses"][found["$ref"].rsplit("/", 1)[-1]]
    content = found.get("content") or {}
    return next(iter(content.values()))["schema"] if content else None


def complaints(document, answers):
    registry = Registry().with_resource("urn:api", Resource.from_contents(document, default_specification=DRAFT4))
    for answer in answers:
        schema = schema_of(document, answer["method"], answer["path"], answer["status"])
        if schema is None:
            continue
        rooted = json.loads(json.dumps(schema, default=str).replace('"#/components', '"urn:api#/components'))
        validator = OAS30Validator(rooted, registry=registry, format_checker=oas30_format_checker)
        for error in validator.iter_errors(answer["body"]):
            yield f"{answer['method']} {answer['path']} {answer['status']} {error.json_path}: {error.message[:300]}"


request = json.load(sys.stdin)
read = yaml.safe_load(Path(request["document"]).read_text(encoding="utf-8"))
print(json.dumps(list(complaints(read, request["answers"]))))
