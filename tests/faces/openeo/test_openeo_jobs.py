"""Batch jobs from creation to download: states, results as STAC, signed addresses, logs."""

from __future__ import annotations

import hashlib

import pytest
from openeo_stage import PREFIX, SUM, done, is_error, new_job, status

from gemel.infra.access import SignedLinks
from stage import until

FAILING = {"process_graph": {"a": {"process_id": "divide", "arguments": {"x": 1, "y": 0}, "result": True}}}


def test_a_job_goes_from_created_to_finished(api):
    job = new_job(api, SUM, title="A sum", description="Of two numbers", plan="free", budget=5, mine={"a": 1})
    document = api.get(f"/jobs/{job}").json()
    assert document["status"] == "created" and document["title"] == "A sum" and document["process"] == SUM
    assert document["budget"] == 5 and document["mine"] == {"a": 1} and document["created"].endswith("Z")
    assert job in [item["id"] for item in api.get("/jobs").json()["jobs"]]
    assert "process" not in api.get("/jobs").json()["jobs"][0]
    is_error(api.get(f"/jobs/{job}/results"), 400, "JobNotStarted")
    assert api.post(f"/jobs/{job}/results").status_code == 202
    finished = done(api, SUM)
    assert status(api, finished) == "finished" and api.get(f"/jobs/{finished}").json()["progress"] == 100


def test_the_result_is_a_stac_item_with_the_file_its_checksum_and_its_origin(api, served):
    job = done(api, SUM)
    item = api.get(f"/jobs/{job}/results").json()
    assert item["type"] == "Feature" and item["id"] == job and item["stac_version"] == "1.1.0"
    assert item["properties"]["openeo:status"] == "finished"
    (asset,) = item["assets"].values()
    data = api.get(asset["href"]).content
    assert data == b"3" and asset["file:size"] == 1 and asset["type"] == "application/json"
    assert asset["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()
    run = next(link["href"] for link in item["links"] if link["rel"] == "via")
    assert api.get(run).json()["state"] == "finished"
    geojson = api.get(f"/jobs/{job}/results", headers={"Accept": "application/geo+json"})
    assert geojson.headers["content-type"] == "application/geo+json"


def test_signed_addresses_open_exactly_what_they_were_made_for(api, stranger, served):
    job, other = done(api, SUM), done(api, SUM)
    item = api.get(f"/jobs/{job}/results").json()
    (asset,) = item["assets"].values()
    assert stranger.get(asset["href"]).content == b"3"
    canonical = next(link["href"] for link in item["links"] if link["rel"] == "canonical")
    assert stranger.get(canonical).json()["id"] == job
    query = asset["href"].split("?")[1]
    is_error(stranger.get(f"/jobs/{other}/results/assets/result.json?{query}"), 401, "AuthenticationRequired")
    is_error(stranger.get(f"/jobs/{job}?{query}"), 401, "AuthenticationRequired")
    is_error(stranger.get(asset["href"].replace("key=", "key=0")), 401, "AuthenticationRequired")
    is_error(stranger.delete(asset["href"]), 403, "PermissionsInsufficient")
    path = f"{PREFIX}/jobs/{job}/results/assets/result.json"
    old = SignedLinks(served.token).query(path, -1)
    is_error(stranger.get(f"{served.url}{path}?{old}"), 410, "ResultLinkExpired")


def test_parts_of_a_file_can_be_asked_for(api):
    text = {
        "process_graph": {"a": {"process_id": "array_create", "arguments": {"data": list(range(50))}, "result": True}}
    }
    job = done(api, text)
    (asset,) = api.get(f"/jobs/{job}/results").json()["assets"].values()
    whole = api.get(asset["href"]).content
    part = api.get(asset["href"], headers={"Range": "bytes=3-9"})
    assert part.status_code == 206 and part.content == whole[3:10]
    assert part.headers["content-range"] == f"bytes 3-9/{len(whole)}"
    assert api.get(asset["href"], headers={"Range": "bytes=99999-"}).status_code == 416
    head = api.head(asset["href"])
    assert head.headers["content-length"] == str(len(whole)) and head.content == b""


def test_a_failed_job_says_why(api):
    job = done(api, FAILING)
    assert status(api, job) == "error"
    answer = api.get(f"/jobs/{job}/results")
    assert answer.status_code == 424 and answer.json()["level"] == "error" and "'a'" in answer.json()["message"]
    logs = api.get(f"/jobs/{job}/logs").json()["logs"]
    assert logs[-1]["level"] == "error" and logs[-1]["path"] == [{"node_id": "a"}]
    assert api.get(f"/jobs/{job}/results?partial=true").json()["properties"]["openeo:status"] == "error"
    assert api.get(f"/jobs/{job}/logs", params={"offset": logs[-1]["id"]}).json()["logs"] == []
    is_error(api.get(f"/jobs/{job}/logs", params={"level": "loud"}), 400, "RequestInvalid")


def test_a_job_that_cannot_run_is_refused_when_it_is_started(api):
    wrong = {"process_graph": {"a": {"process_id": "nothing", "arguments": {}, "result": True}}}
    job = new_job(api, wrong)
    is_error(api.post(f"/jobs/{job}/results"), 400, "ProcessUnsupported")
    assert status(api, job) == "created"


def test_a_job_is_changed_and_started_anew(api):
    job = done(api, SUM)
    other = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 5, "y": 6}, "result": True}}}
    assert api.patch(f"/jobs/{job}", json={"title": "Another", "process": other}).status_code == 204
    assert api.patch(f"/jobs/{job}", json={}).status_code == 204
    assert api.get(f"/jobs/{job}").json()["title"] == "Another" and status(api, job) == "finished"
    assert api.patch(f"/jobs/{job}", json={"title": None}).status_code == 204
    assert "title" not in api.get(f"/jobs/{job}").json()
    is_error(api.patch(f"/jobs/{job}", json={"process": {}}), 400, "ProcessGraphMissing")
    assert api.get(f"/jobs/{job}/results").json()["assets"]["result.json"]["file:size"] == 1
    assert api.post(f"/jobs/{job}/results").status_code == 202
    until(lambda: status(api, job) == "finished")
    (asset,) = api.get(f"/jobs/{job}/results").json()["assets"].values()
    assert api.get(asset["href"]).json() == 11


def test_an_estimate_names_at_least_the_costs(api):
    assert api.get(f"/jobs/{new_job(api, SUM)}/estimate").json()["costs"] == 0


def test_a_deleted_job_is_gone(api):
    job = done(api, SUM)
    assert api.delete(f"/jobs/{job}").status_code == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("PATCH", ""), ("GET", "/results"), ("POST", "/results")):
        is_error(api.request(method, f"/jobs/{job}{path}", json={}), 404, "JobNotFound")
    for path in ("/logs", "/estimate", "/results/assets/result.json"):
        is_error(api.get(f"/jobs/{job}{path}"), 404, "JobNotFound")


@pytest.mark.parametrize("name", ["..%2F..%2Ftoken", "nothing.nc", "%2Fetc%2Fpasswd"])
def test_only_files_of_the_result_are_handed_out(api, name):
    job = done(api, SUM)
    is_error(api.get(f"/jobs/{job}/results/assets/{name}"), 404, "NotFound")


def test_jobs_are_listed_newest_first_and_in_pages(api):
    made = [new_job(api, SUM) for _ in range(5)]
    page = api.get("/jobs", params={"limit": 3}).json()
    (link,) = page["links"]
    following = api.get(link["href"]).json()["jobs"]
    listed = [job["id"] for job in [*page["jobs"], *following]]
    assert listed[:5] == made[::-1]
