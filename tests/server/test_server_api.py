"""The native API: documents, errors as problems, outputs in formats, event streams that resume, work side by side."""

from __future__ import annotations

import io
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import xarray as xr

from gemel.base.clock import utc_now
from gemel.core.stream import Event
from stage import until

PROBLEM = {"type", "title", "status", "detail", "code", "hint", "context"}


def is_problem(answer, status: int, code: str) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = json.loads(answer.text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert set(document) == PROBLEM and document["status"] == status and document["code"] == code
    assert document["type"] == f"urn:gemel:error:{code}" and document["title"] and document["detail"]
    return document


def test_twins_are_listed_and_described(owner):
    listed = {twin["id"]: twin for twin in owner.get("/api/v1/twins").json()["twins"]}
    assert listed["brook"]["live"] is True and listed["earlywarning"]["live"] is False
    brook = owner.get("/api/v1/twins/brook").json()
    assert brook["version"] == "1.2.3" and brook["main"] == "forecast" and brook["physical"]["sync"] == "1 d"
    assert [item["name"] for item in brook["parameters"]] == ["rain", "warmth"], "length is no slider"
    assert brook["parameters"][0] == {
        "name": "rain", "title": "Rain", "unit": "1", "default": 1.0, "minimum": 0.0, "maximum": 3.0, "step": None,
    }  # fmt: skip
    card = owner.get("/api/v1/twins/brook/card")
    assert card.headers["content-type"].startswith("text/markdown") and "**Purpose.**" in card.text


def test_live_status_and_views_are_those_of_the_last_update(owner):
    live = owner.get("/api/v1/twins/brook/live").json()
    assert live["clock"] == "2001-01-03T00:00:00Z" and live["sequence"] == 3
    assert live["freshness"]["sync"] == "1 d" and live["freshness"]["gaps"] == 0
    assert live["misfit"]["declared"] == "10 %" and live["misfit"]["diverged"] is False
    views = {view["id"]: view for view in owner.get("/api/v1/twins/brook/views").json()["views"]}
    assert set(views) == {"flow", "alerts", "quality"} and views["alerts"]["alerts"] == []
    assert owner.get("/api/v1/twins/brook/views/alerts").json() == views["alerts"]


def test_a_run_is_started_followed_and_read(owner):
    started = owner.post("/api/v1/twins/brook/runs", json={"graph": "validate", "parameters": {"rain": 1.4}})
    assert started.status_code == 201 and started.json()["state"] in ("queued", "running", "finished")
    run = started.json()["id"]
    ended = owner.get(f"/api/v1/runs/{run}", params={"wait": 30}).json()
    assert ended["state"] == "finished" and ended["checks"] == [
        {"id": "sum", "passed": True, "value": pytest.approx(0.4), "bar": 0.5}
    ]
    listed = owner.get("/api/v1/runs", params={"twin": "brook", "limit": 1}).json()["runs"]
    assert [item["id"] for item in listed] == [run]
    assert owner.get("/api/v1/runs", params={"twin": "brook", "state": "failed"}).json() == {"runs": []}
    assert owner.get(f"/api/v1/runs/{run}/explain").json()["steps"][0]["process"] == "lost"
    assert owner.get("/api/v1/compare", params={"a": run, "b": run}).json()["same"] is True


def test_an_output_comes_in_the_format_asked_for(owner):
    run = owner.post("/api/v1/twins/brook/whatif", json={"parameters": {"rain": 2}}, params={"wait": 30}).json()
    href = next(output["href"] for output in run["outputs"] if output["name"] == "flow")
    netcdf = owner.get(href)
    assert netcdf.headers["content-type"] == "application/x-netcdf"
    assert 'filename="flow.nc"' in netcdf.headers["content-disposition"]
    with xr.open_dataset(io.BytesIO(netcdf.content), engine="h5netcdf") as opened:
        assert opened["flow"].sel(quantile=0.5).values[1] == 2.0 and opened["flow"].attrs["units"] == "m3 s-1"
    as_json = owner.get(href, params={"format": "json"}).json()
    assert as_json["data_vars"]["flow"]["data"][1] == [1.0, 2.0, None]
    as_csv = owner.get(href, params={"format": "csv"})
    assert as_csv.headers["content-type"].startswith("text/csv") and as_csv.text.splitlines()[0] == "quantile,time,flow"
    length = f"/api/v1/runs/{run['id']}/outputs/length"
    assert owner.get(length).json() == 2000.0
    is_problem(owner.get(length, params={"format": "netcdf"}), 400, "input.invalid")
    assert "'csv'" in is_problem(owner.get(href, params={"format": "cvs"}), 400, "input.invalid")["hint"]


def test_unknown_things_are_problems_that_know_better(owner):
    assert "'brook'" in is_problem(owner.get("/api/v1/twins/brok"), 404, "not-found")["hint"]
    for path in ("live", "views", "card", "events", "report"):
        is_problem(owner.get(f"/api/v1/twins/nothing/{path}"), 404, "not-found")
    for path in ("", "/logs", "/explain", "/events", "/outputs/flow"):
        is_problem(owner.get(f"/api/v1/runs/run-none{path}"), 404, "not-found")
    is_problem(owner.post("/api/v1/runs/run-none/cancel"), 404, "not-found")
    is_problem(owner.get("/api/v1/compare", params={"a": "run-1", "b": "run-2"}), 404, "not-found")
    is_problem(owner.get("/api/v1/twins/brook/views/nothing"), 404, "not-found")
    is_problem(owner.post("/api/v1/twins/nothing/pull"), 404, "not-found")
    wrong = is_problem(owner.post("/api/v1/twins/brook/whatif", json={"parameters": {"rian": 1}}), 404, "not-found")
    assert "'rain'" in wrong["hint"]
    graph = is_problem(owner.post("/api/v1/twins/brook/runs", json={"graph": "forcast"}), 404, "not-found")
    assert "'forecast'" in graph["hint"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "input.invalid"),
        (b"{", "input.invalid"),
        (b"[]", "input.invalid"),
        (b'"text"', "input.invalid"),
        (b'{"parametres": {}}', "input.invalid"),
        (b'{"parameters": []}', "input.invalid"),
        (b'{"parameters": {"rain": null}}', "input.invalid"),
        (b'{"parameters": {"rain": [1]}}', "input.invalid"),
        (b'{"parameters": {"rain": "wet"}}', "input.invalid"),
        (b'{"parameters": {"rain": NaN}}', "input.invalid"),
        (b'{"parameters": {"rain": 1e999}}', "input.out-of-bounds"),
        (b'{"parameters": {"rain": 3.5}}', "input.out-of-bounds"),
        (b'{"parameters": {"rain": "2 mm"}}', "unit.mismatch"),
        (b'{"parameters": {"rain": "2 bananas"}}', "input.invalid"),
        (b'\xff\xfe{"parameters"', "input.invalid"),
    ],
)
def test_a_bad_body_is_a_problem_that_says_what_is_wrong(owner, body, code):
    headers = {"Content-Type": "application/json"}
    is_problem(owner.post("/api/v1/twins/brook/whatif", content=body, headers=headers), 400, code)


def test_what_the_framework_refuses_is_a_problem_too(owner):
    is_problem(owner.get("/api/v1/nothing"), 404, "not-found")
    is_problem(owner.delete("/api/v1/twins"), 405, "method-not-allowed")
    is_problem(owner.get("/api/v1/runs", params={"limit": 0}), 400, "input.invalid")
    is_problem(owner.get("/api/v1/runs", params={"limit": "many"}), 400, "input.invalid")
    is_problem(owner.get("/api/v1/runs", params={"state": "lost"}), 400, "input.invalid")
    is_problem(owner.get("/api/v1/compare", params={"a": "run-1"}), 400, "input.invalid")
    is_problem(owner.post("/api/v1/twins/brook/runs?wait=-1", json={}), 400, "input.invalid")
    page = owner.get("/nothing", headers={"Accept": "text/html"})
    assert page.status_code == 404 and page.headers["content-type"].startswith("text/html")


def test_a_failed_run_is_an_answer_not_an_error(owner):
    run = owner.post("/api/v1/twins/brook/runs?wait=30", json={"graph": "failing"}).json()
    assert run["state"] == "failed" and run["error"]["code"] == "run.step-failed" and run["error"]["hint"]
    assert "no water" in run["error"]["message"]
    is_problem(owner.get(f"/api/v1/runs/{run['id']}/outputs/nothing"), 404, "not-found")


def test_graphs_can_be_validated_before_anything_runs(owner):
    document = {
        "id": "wrong",
        "process_graph": {"a1": {"process_id": "longst", "arguments": {"length": 1}, "result": True}},
        "parameters": [],
    }
    (finding,) = owner.post("/api/v1/validation", params={"twin": "brook"}, json=document).json()["findings"]
    assert finding["node"] == "a1" and finding["code"] == "unknown-process" and "'longest'" in finding["hint"]
    is_problem(owner.post("/api/v1/validation", json=[]), 400, "input.invalid")


def test_publishing_is_gated_by_checks(owner):
    is_problem(owner.get("/api/v1/twins/brook/report"), 404, "not-found")
    is_problem(owner.post("/api/v1/twins/brook/publish"), 412, "check.failed")
    report = owner.post("/api/v1/twins/brook/check").json()
    assert report["passed"] and owner.get("/api/v1/twins/brook/report").json() == report
    published = owner.post("/api/v1/twins/brook/publish").json()
    assert published["new"] and published["version"] == "1.2.3"
    assert owner.post("/api/v1/twins/brook/publish").json()["new"] is False


def messages(owner, path: str, count: int, **headers: str) -> list[tuple[int | None, dict]]:
    """Return (id, data) of the first `count` messages of an event stream."""
    found, position = [], None
    with owner.stream("GET", path, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("id: "):
                position = int(line.removeprefix("id: "))
            if line.startswith("data: "):
                found.append((position, json.loads(line.removeprefix("data: "))))
            if len(found) == count:
                return found
    return found


def test_events_resume_after_the_last_one_seen(owner, brook_server):
    path = "/api/v1/twins/brook/events"
    everything = messages(owner, path, 5, **{"Last-Event-ID": "0"})
    assert [event["type"] for _, event in everything].count("gemel.twin.updated") >= 3
    assert all(event["specversion"] == "1.0" for _, event in everything)
    positions = [position for position, _ in everything]
    assert positions == sorted(set(positions))
    rest = messages(owner, path, 3, **{"Last-Event-ID": str(positions[1])})
    assert rest == everything[2:]


def test_without_a_last_event_only_what_is_new_is_told(owner, brook_server):
    log = brook_server.service.engine.log
    with owner.stream("GET", "/api/v1/twins/brook/events") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": connected"
        log.append("twins/brook", Event("new-one", "gemel.twin.test", "/test", utc_now(), {"news": float("nan")}))
        data = next(line for line in lines if line.startswith("data: "))
    told = json.loads(data.removeprefix("data: "), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert told["id"] == "new-one" and told["data"] == {"news": None}


def test_a_run_tells_its_steps_and_then_itself(owner, gate):
    run = owner.post("/api/v1/twins/brook/runs", json={"graph": "held", "parameters": {"gate": str(gate)}}).json()["id"]
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(messages, owner, f"/api/v1/runs/{run}/events", 1000)
        until(lambda: owner.get(f"/api/v1/runs/{run}").json()["steps"])
        gate.touch()
        changes = [document for _, document in told.result(60)]
    *steps, last = changes
    assert {change["step"] for change in steps} == {"waited1", "waited2", "added1", "added2"}
    assert last["run"]["id"] == run and last["run"]["state"] == "finished"


def test_requests_are_answered_while_a_run_works(owner, gate):
    run = owner.post("/api/v1/twins/brook/runs", json={"graph": "held", "parameters": {"gate": str(gate)}}).json()["id"]
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(
            lambda rain: owner.post(
                "/api/v1/twins/brook/whatif", json={"parameters": {"rain": rain}}, params={"wait": 30}
            ).json(),
            (0.25, 0.75),
        )
        medians = [answer["views"][0]["quantiles"]["values"][1][1] for answer in answers]
    assert medians == [0.25, 0.75]
    assert owner.get(f"/api/v1/runs/{run}").json()["state"] in ("queued", "running")
    gate.touch()
    assert owner.get(f"/api/v1/runs/{run}", params={"wait": 30}).json()["state"] == "finished"


def test_a_run_is_cancelled(owner, gate):
    run = owner.post("/api/v1/twins/brook/runs", json={"graph": "held", "parameters": {"gate": str(gate)}}).json()["id"]
    assert owner.post(f"/api/v1/runs/{run}/cancel").json()["state"] == "cancelled"
    assert owner.get(f"/api/v1/runs/{run}").json()["state"] == "cancelled"


def test_the_description_of_the_api_is_served_and_each_route_in_it_answers(owner, stranger):
    assert stranger.get("/api/v1/openapi.json").status_code == 401
    document = owner.get("/api/v1/openapi.json").json()
    assert document["info"]["title"] == "gemel" and len(document["paths"]) > 15
    for path, methods in document["paths"].items():
        for method in methods:
            if path.endswith("/events"):
                continue  # these do not end; they have tests of their own
            address = re.sub(r"\{twin\}", "nothing", path)
            answer = owner.request(method.upper(), re.sub(r"\{[^}]*\}", "none", address), json={})
            assert answer.status_code != 405 and answer.status_code < 500, (method, path, answer.text)
            if answer.is_error and method != "head":
                assert set(answer.json()) == PROBLEM, path


def test_health_and_metrics(owner):
    assert owner.get("/health").json() == {"status": "ok", "live": ["brook"], "problems": []}
    metrics = owner.get("/metrics").text
    assert "gemel_live_twins 1" in metrics and 'gemel_runs{state="finished"}' in metrics


def test_every_page_of_every_twin_answers_before_and_after_its_first_run(owner):
    for twin in ("brook", "earlywarning"):
        for page in ("", "/card", "/report", "/now"):
            answer = owner.get(f"/twins/{twin}{page}", headers={"Accept": "text/html"})
            assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html"), (twin, page)
    run = owner.post("/api/v1/twins/brook/runs?wait=30", json={}).json()["id"]
    failed = owner.post("/api/v1/twins/brook/runs?wait=30", json={"graph": "failing"}).json()["id"]
    for path in ("/", "/twins", f"/runs/{run}", f"/runs/{failed}"):
        assert owner.get(path).status_code == 200, path
