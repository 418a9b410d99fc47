"""Our answers against the API document where the official suite does not look (OpenAPI 3.0 dialect)."""

from __future__ import annotations

from pathlib import Path

import pytest
from openeo_stage import COLLECTION, SUM, done, new_job, outside

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("openeo-suite")]

FAILING = {"process_graph": {"a": {"process_id": "divide", "arguments": {"x": 1, "y": 0}, "result": True}}}
# Without schemas of types: a plain one, such as {"type": "number"}, matches two branches of the document's own `oneOf`,
# over which the suite's `test_GET_processes` stumbles as well.
STORED = SUM | {"parameters": [], "description": "A sum.", "summary": "Sum", "links": []}


LOADED = {
    "process_graph": {
        "load": {
            "process_id": "load_collection",
            "arguments": {"id": COLLECTION, "spatial_extent": None, "temporal_extent": ["2020-01-01", "2020-03-01"]},
        },
        "save": {
            "process_id": "save_result",
            "arguments": {"data": {"from_node": "load"}, "format": "netCDF"},
            "result": True,
        },
    }
}


def told(api) -> list[dict]:
    """Return answers of every kind of route with the path of the document that they belong to."""
    # A result without a place has no geometry; the document calls null possible there and forbids it one level deeper.
    job, failed, fresh = done(api, LOADED), done(api, FAILING), new_job(api, SUM, title="Fresh", budget=3.5)
    api.put("/process_graphs/stored", json=STORED)
    api.put("/files/notes/a.txt", content=b"a")
    service = api.post("/services", json={"type": "XYZ", "process": SUM}).headers["openeo-identifier"]
    asked = [
        ("GET", "/", {}),
        ("GET", "/conformance", {}),
        ("GET", "/file_formats", {}),
        ("GET", "/udf_runtimes", {}),
        ("GET", "/service_types", {}),
        ("GET", "/credentials/oidc", {}),
        ("GET", "/me", {}),
        ("GET", "/collections", {}),
        ("GET", "/collections/{collection_id}", {"collection_id": COLLECTION}),
        ("GET", "/collections/{collection_id}", {"collection_id": "nothing"}),
        ("GET", "/collections/{collection_id}/queryables", {"collection_id": COLLECTION}),
        ("GET", "/jobs", {}),
        ("GET", "/jobs/{job_id}", {"job_id": job}),
        ("GET", "/jobs/{job_id}", {"job_id": failed}),
        ("GET", "/jobs/{job_id}", {"job_id": fresh}),
        ("GET", "/jobs/{job_id}", {"job_id": "nothing"}),
        ("GET", "/jobs/{job_id}/estimate", {"job_id": fresh}),
        ("GET", "/jobs/{job_id}/logs", {"job_id": failed}),
        ("GET", "/jobs/{job_id}/results", {"job_id": job}),
        ("GET", "/jobs/{job_id}/results", {"job_id": failed}),
        ("GET", "/jobs/{job_id}/results", {"job_id": fresh}),
        ("GET", "/process_graphs", {}),
        ("GET", "/process_graphs/{process_graph_id}", {"process_graph_id": "stored"}),
        ("GET", "/files", {}),
        ("GET", "/services", {}),
        ("GET", "/services/{service_id}", {"service_id": service}),
        ("GET", "/services/{service_id}/logs", {"service_id": service}),
    ]
    answers = []
    for method, path, names in asked:
        answer = api.request(method, path.format(**names))
        answers.append({"method": method, "path": path, "status": answer.status_code, "body": answer.json()})
    for body in (
        {},
        SUM,
        FAILING,
        {"process_graph": {"a": {"process_id": "nothing", "arguments": {}, "result": True}}},
    ):
        answer = api.post("/validation", json=body)
        answers.append({"method": "POST", "path": "/validation", "status": answer.status_code, "body": answer.json()})
    well_known = api.get(str(api.base_url).split("/openeo")[0] + "/.well-known/openeo")
    answers.append({"method": "GET", "path": "/.well-known/openeo", "status": 200, "body": well_known.json()})
    return answers


def test_every_answer_is_what_the_api_document_says(api, suite_python: Path, conformance: Path) -> None:
    answers = told(api)
    assert {answer["status"] for answer in answers} == {200, 400, 404, 424}
    document = str(conformance / "openeo-api" / "openapi.yaml")
    assert outside(suite_python, "answers.py", told={"document": document, "answers": answers}) == []


def test_the_check_itself_notices_what_is_wrong(suite_python: Path, conformance: Path) -> None:
    document = str(conformance / "openeo-api" / "openapi.yaml")
    wrong = {"method": "GET", "path": "/jobs", "status": 200, "body": {"jobs": [{"id": "a b", "status": "lost"}]}}
    complaints = outside(suite_python, "answers.py", told={"document": document, "answers": [wrong]})
    assert any("'links' is a required property" in text for text in complaints)
    assert any("'lost' is not one of" in text for text in complaints)
