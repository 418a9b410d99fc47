"""What the interface answers: to the right token alone, with OSCAR's statuses; what it cannot honour it names."""

from __future__ import annotations

import base64
import json

import httpx2
import pytest
from oscar_stage import served

from gemel.core.stream.functions import FunctionSpec
from stage import PATIENCE, until

__all__ = ["served"]
SERVICE = {"name": "echo", "image": "gemel", "cpu": "0.2", "memory": "128Mi", "script": 'cat "$INPUT_FILE_PATH"'}


def wrapped(data: bytes) -> bytes:
    return base64.b64encode(data)


@pytest.fixture
def owner(served):
    with served.client() as client:
        yield client
        for service in client.get("/system/services").json():
            assert client.delete(f"/system/services/{service['name']}").status_code == 204


@pytest.fixture
def token(owner):
    assert owner.post("/system/services", content=json.dumps(SERVICE)).status_code == 201
    return owner.get("/system/services/echo").json()["token"]


def client(served, authorization: str | None = None) -> httpx2.Client:
    headers = {} if authorization is None else {"Authorization": authorization}
    return httpx2.Client(base_url=served.url, headers=headers, timeout=PATIENCE)


@pytest.mark.parametrize(
    "shown", [None, "Bearer wrong", "Basic d3Jvbmc6d3Jvbmc=", "Basic é", "Basic x", "Bearer", "token"]
)
def test_strangers_are_told_nothing(served, token, shown):
    encoded = None if shown is None else shown.encode("latin-1")
    with httpx2.Client(base_url=served.url, timeout=PATIENCE) as stranger:
        headers = {} if encoded is None else {b"Authorization": encoded}
        asked = [
            ("GET", path) for path in ("info", "config", "services", "services/echo", "status", "logs/echo", "nothing")
        ]
        asked = [(method, f"/system/{path}") for method, path in asked]
        asked += [("POST", "/system/services"), ("DELETE", "/system/services/echo"), ("POST", "/run/echo")]
        for method, path in [*asked, ("POST", "/job/echo"), ("POST", "/run/nothing")]:
            answer = stranger.request(method, path, headers=headers)
            assert answer.status_code == 401 and "Basic" in answer.headers["WWW-Authenticate"], (method, path)


def test_a_services_token_opens_the_service_and_nothing_else(served, owner, token):
    assert owner.post("/system/services", content=json.dumps(SERVICE | {"name": "other"})).status_code == 201
    with client(served, f"Bearer {token}") as caller:
        assert caller.post("/run/echo", content=wrapped(b"hi")).text == wrapped(b"hi").decode()
        assert caller.post("/job/echo", content=wrapped(b"hi")).status_code == 201
        for path in ("/run/other", "/job/other", "/run/none"):
            assert caller.post(path).status_code == 401
        for path in ("/system/services", "/system/logs/echo"):
            assert caller.get(path).status_code == 401
        assert caller.get("/api/v1/twins").status_code == 401


def test_the_engines_token_opens_everything_as_bearer_and_as_password(served, token):
    password = wrapped(f"anyone:{served.token}".encode()).decode()
    for shown in (f"Bearer {served.token}", f"Basic {password}"):
        with client(served, shown) as caller:
            assert caller.get("/system/services").status_code == 200
            assert caller.post("/run/echo", content=wrapped(b"hi")).status_code == 200


def test_input_is_base64_whatever_its_type_says_or_json(owner, token):
    for body, output in (
        (wrapped(b"\x00\xff"), b"\x00\xff"),
        (b'{"x": 1}', b'{"x": 1}'),
        (b"[1, 2]", b"[1, 2]"),
        (b"not base64!", b"not base64!"),
        (b"", b""),
        (wrapped(b'{"x": 1}')[:6] + b"\n" + wrapped(b'{"x": 1}')[6:], b'{"x": 1}'),
    ):
        answer = owner.post("/run/echo", content=body, headers={"Content-Type": "application/json"})
        assert base64.b64decode(answer.text) == output, body
    assert owner.post("/run/echo", content=b"A" * 13_500_000).status_code == 400


def test_a_call_that_fails_says_why(owner, token):
    failing = SERVICE | {"script": "echo no water >&2; exit 3"}
    assert owner.put("/system/services", content=json.dumps(failing)).status_code == 204
    answer = owner.post("/run/echo", content=wrapped(b""))
    assert answer.status_code == 500 and "exit code 3: no water" in answer.text
    job = answer.text.rpartition("call ")[2].rstrip(")")
    assert owner.get("/system/logs/echo").json()["jobs"][job]["status"] == "Failed"
    assert "no water" in owner.get(f"/system/logs/echo/{job}").text


def record(key: str, mark: str | None, name: str = "s3:ObjectCreated:Put") -> dict:
    thing = {"key": key} | ({} if mark is None else {"sequencer": mark})
    return {"eventName": name, "s3": {"bucket": {"name": "b"}, "object": thing}}


def test_each_record_of_an_event_is_one_job_and_none_comes_twice(owner, token):
    event = {"EventName": "s3:ObjectCreated:Put", "Key": "b/one", "Records": [record("one", "1"), record("two+x", "2")]}
    first = owner.post("/job/echo", json=event)
    ids = first.text.split()
    assert first.status_code == 201 and len(set(ids)) == 2
    assert owner.post("/job/echo", json=event).text == first.text, "the same event, told again"
    assert owner.post("/job/echo", content=wrapped(json.dumps(event).encode())).text == first.text
    gone = owner.post("/job/echo", json={"Records": [record("one", "1", "s3:ObjectRemoved:Delete")]}).text
    newer = owner.post("/job/echo", json={"Records": [record("one", "3")]}).text
    assert len({*ids, gone, newer}) == 4
    unmarked = {owner.post("/job/echo", json={"Records": [record("one", None)]}).text for _ in range(2)}
    assert len(unmarked) == 2, "what cannot be told apart is not thrown away"
    until(lambda: {job["status"] for job in owner.get("/system/logs/echo").json()["jobs"].values()} == {"Succeeded"})
    alone = json.loads(owner.get(f"/system/logs/echo/{ids[1]}").text)
    assert alone["Key"] == "b/two+x" and alone["Records"] == [record("two+x", "2")]


def test_jobs_are_paged(owner, token):
    for number in range(103):
        owner.post("/job/echo", content=wrapped(str(number).encode()))
    page = owner.get("/system/logs/echo").json()
    assert len(page["jobs"]) == 100 and page["remaining_jobs"] == 3
    rest = owner.get("/system/logs/echo", params={"page": page["next_page"]}).json()
    assert len(rest["jobs"]) == 3 and "next_page" not in rest and not set(rest["jobs"]) & set(page["jobs"])
    assert owner.get("/system/logs/echo?page=x").status_code == 404
    assert owner.delete("/system/logs/echo?all=true").status_code == 204
    assert owner.get("/system/logs/echo").json()["jobs"] == {}


def test_what_is_not_there(owner, token):
    for method, path in (
        ("GET", "/system/services/none"),
        ("DELETE", "/system/services/none"),
        ("GET", "/system/logs/none"),
        ("GET", "/system/logs/echo/none"),
        ("DELETE", "/system/logs/echo/none"),
        ("POST", "/run/none"),
        ("POST", "/job/none"),
        ("GET", "/system/nothing"),
        ("GET", "/run/echo/more"),
    ):
        assert owner.request(method, path).status_code == 404, path
    assert owner.put("/system/services", content=json.dumps(SERVICE | {"name": "none"})).status_code == 404
    assert owner.post("/system/services", content=json.dumps(SERVICE)).status_code == 409
    assert owner.patch("/system/services").status_code == 405


def test_a_function_that_runs_a_process_is_a_service_like_any(served, owner):
    functions = served.service.engine.functions
    functions.deploy(FunctionSpec("plus", process="add", arguments={"y": 4}))
    shown = owner.get("/system/services/plus").json()
    assert shown["image"] == "gemel" and shown["script"] == "" and len(shown["token"]) == 64
    answer = owner.post("/run/plus", content=wrapped(b'{"x": 3}'))
    assert json.loads(base64.b64decode(answer.text)) == 7
    assert owner.post("/run/plus", content=wrapped(b'{"z": 3}')).status_code == 400
    assert owner.put("/system/services", content=json.dumps(SERVICE | {"name": "plus"})).status_code == 409


def test_what_cannot_be_honoured_is_refused_with_all_names(owner):
    wrong = {"enable_gpu": True, "input": [{"storage_provider": "minio.default", "path": "in"}], "colour": "red"}
    answer = owner.post("/system/services", content=json.dumps(SERVICE | wrong | {"image": "ubuntu", "cpu": "1000"}))
    assert answer.status_code == 400
    assert all(f"{name} (" in answer.text for name in ("enable_gpu", "input", "colour", "image", "cpu")), answer.text
    assert owner.get("/system/services").json() == []
    for body in (b"", b"{", b"[]", b"null", b"[" * 100_000):
        assert owner.post("/system/services", content=body).status_code == 400
