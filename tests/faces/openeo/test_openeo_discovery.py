"""What the engine says of itself, to anyone, and whom it lets in."""

from __future__ import annotations

import base64
import json
import re

import pytest
from openeo_stage import COLLECTION, PREFIX, is_error

PUBLIC = (
    "/",
    "/conformance",
    "/collections",
    f"/collections/{COLLECTION}",
    f"/collections/{COLLECTION}/queryables",
    "/processes",
    "/file_formats",
    "/udf_runtimes",
    "/service_types",
    "/credentials/oidc",
)
CLOSED = ("/me", "/jobs", "/jobs/x", "/jobs/x/results", "/process_graphs", "/files", "/files/x", "/services")


@pytest.mark.parametrize("path", PUBLIC)
def test_what_the_standard_calls_public_is_read_without_a_token(stranger, path):
    assert stranger.get(path).status_code == 200


@pytest.mark.parametrize("path", CLOSED)
def test_everything_else_asks_for_the_token_and_takes_no_wrong_one(stranger, path):
    answer = stranger.get(path)
    is_error(answer, 401, "AuthenticationRequired")
    assert answer.headers["www-authenticate"] == "Bearer"
    wrong = {"Authorization": "Bearer basic//wrong"}
    is_error(stranger.get(path, headers=wrong), 403, "TokenInvalid")
    is_error(stranger.get(path, headers={"Authorization": "Bearer oidc/test/anything"}), 403, "TokenInvalid")
    is_error(stranger.get(path, headers={"Authorization": "Basic YTpi"}), 403, "AuthenticationSchemeInvalid")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_is_written_without_a_token(stranger, method):
    for path in ("/jobs", "/result", "/validation", "/collections", "/", "/processes", "/files/x", "/process_graphs/x"):
        is_error(stranger.request(method, path, json={}), 401, "AuthenticationRequired")


@pytest.mark.parametrize(
    "path", ["//jobs", "///me", "//files/x", "/collections%2F..%2Fjobs", "/collections/x%3F/../../me"]
)
def test_no_spelling_of_a_path_gets_past_the_gate(stranger, served, path):
    answer = stranger.get(f"{served.url}{PREFIX}{path}")
    assert answer.status_code in (401, 404) and set(answer.json()) == {"id", "code", "message", "links"}


def test_name_and_password_give_the_token(stranger, served):
    def answer(password):
        value = base64.b64encode(f"anyone:{password}".encode()).decode()
        return stranger.get("/credentials/basic", headers={"Authorization": f"Basic {value}"})

    token = answer(served.token).json()["access_token"]
    shown = {"Authorization": f"Bearer basic//{token}"}
    assert stranger.get("/me", headers=shown).json()["user_id"] == "owner"
    is_error(answer("wrong"), 403, "CredentialsInvalid")
    is_error(stranger.get("/credentials/basic"), 401, "AuthenticationRequired")
    is_error(stranger.get("/credentials/basic", headers={"Authorization": "Basic %%%"}), 403, "CredentialsInvalid")


def test_a_foreign_host_or_page_is_refused_in_openeos_shape(api):
    is_error(api.get("/", headers={"Host": "evil.example"}), 403, "PermissionsInsufficient")
    is_error(api.get("/jobs", headers={"Origin": "https://evil.example"}), 403, "PermissionsInsufficient")


def test_the_well_known_address_leads_to_the_api(stranger, served):
    document = stranger.get(f"{served.url}/.well-known/openeo").json()
    (version,) = document["versions"]
    assert version["url"] == f"{served.url}{PREFIX}/" and version["api_version"] == "1.2.0"
    assert stranger.get(version["url"]).json()["api_version"] == "1.2.0"


def test_each_endpoint_listed_is_there_and_each_link_leads_somewhere(api, stranger):
    document = api.get("/").json()
    assert {link["rel"] for link in document["links"]} >= {"self", "conformance", "data", "version-history"}
    for link in document["links"]:
        assert stranger.get(link["href"]).status_code == 200, link
    listed = {(method, entry["path"]) for entry in document["endpoints"] for method in entry["methods"]}
    for method, path in listed:
        answer = api.request(method, re.sub(r"\{\w+\}", "nothing", path))
        assert answer.status_code not in (405, 500), (method, path, answer.text)
        assert answer.status_code != 404 or answer.json()["code"] != "NotFound", (method, path)


def test_each_route_of_the_api_document_is_listed(api, conformance):
    import yaml

    document = yaml.safe_load((conformance / "openeo-api" / "openapi.yaml").read_text(encoding="utf-8"))
    known = ("get", "put", "post", "patch", "delete")
    wanted = {(m.upper(), path) for path, item in document["paths"].items() for m in item if m in known}
    listed = {(m, entry["path"]) for entry in api.get("/").json()["endpoints"] for m in entry["methods"]}
    assert listed == wanted - {("GET", "/.well-known/openeo")}


def test_a_collection_is_described_with_its_dimensions_and_without_its_files(stranger):
    document = stranger.get(f"/collections/{COLLECTION}").json()
    assert document["cube:dimensions"]["bands"]["values"] == ["B01"]
    assert document["license"] == "CC0-1.0" and "assets" not in document
    assert all(link["href"].startswith("http") for link in document["links"])
    assert str(stranger.get("/collections").json()["collections"][0]["id"]) == COLLECTION
    is_error(stranger.get("/collections/nothing"), 404, "CollectionNotFound")
    is_error(stranger.get("/collections/nothing/queryables"), 404, "CollectionNotFound")
    queryables = stranger.get(f"/collections/{COLLECTION}/queryables")
    assert queryables.headers["content-type"] == "application/schema+json" and queryables.json()["type"] == "object"


def test_lists_come_in_pages_that_follow_each_other(stranger):
    everything = [item["id"] for item in stranger.get("/processes").json()["processes"]]
    found, address = [], "/processes?limit=60"
    while address:
        page = stranger.get(address).json()
        found += [item["id"] for item in page["processes"]]
        address = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
    assert found == everything and len(found) > 100


def test_what_the_framework_refuses_has_openeos_shape_too(api):
    is_error(api.get("/nothing"), 404, "NotFound")
    is_error(api.put("/jobs", json={}), 405, "MethodNotAllowed")
    is_error(api.get("/jobs", params={"limit": "many"}), 400, "RequestInvalid")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "RequestInvalid"),
        (b"{", 400, "RequestInvalid"),
        (b"[]", 400, "RequestInvalid"),
        (b'"text"', 400, "RequestInvalid"),
        (b"\xff\xfe{", 400, "RequestInvalid"),
        (b"{}", 400, "ProcessGraphMissing"),
        (b'{"process": 1}', 400, "ProcessGraphMissing"),
        (b'{"process": {}}', 400, "ProcessGraphMissing"),
        (b'{"process": {"process_graph": {}}}', 400, "ProcessGraphMissing"),
        (b'{"process": {"process_graph": {"a": 1}}}', 400, "ProcessGraphInvalid"),
        (b'{"process": {"process_graph": {"a": {"process_id": "add", "arguments": []}}}}', 400, "ProcessGraphInvalid"),
        (b'{"process": {"process_graph": {"a": {"process_id": 1}}}, "budget": -1}', 400, "RequestInvalid"),
        (b'{"log_level": "loud", "process": {"process_graph": {"a": {"process_id": "e"}}}}', 400, "RequestInvalid"),
        (b" " * (9 << 20), 413, "RequestTooLarge"),
    ],
)
@pytest.mark.parametrize("path", ["/jobs", "/result"])
def test_a_bad_body_is_refused_with_a_reason(api, path, body, status, code):
    headers = {"Content-Type": "application/json"}
    before = len(api.get("/jobs").json()["jobs"])
    is_error(api.post(path, content=body, headers=headers), status, code)
    assert len(api.get("/jobs").json()["jobs"]) == before


def test_deep_nesting_is_refused_and_not_a_crash(api):
    deep = json.loads("[" * 500 + "]" * 500)
    process = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": deep, "y": 1}, "result": True}}}
    assert api.post("/result", json={"process": process}).status_code == 400
    headers = {"Content-Type": "application/json"}
    deeper = b'{"process_graph": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    assert api.post("/validation", content=deeper, headers=headers).status_code == 400
