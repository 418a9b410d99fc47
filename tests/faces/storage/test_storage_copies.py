"""Third-party copies: markers, verdicts, tokens that go no further than they should, and other sides that lie or hang."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

import httpx2
import pytest
from storage_stage import MARKER, Place, adler32, answering, noise, third_party

from stage import until

CONTENT = noise(1_500_000)


def answer(line: socket.socket, *lines: str, body: bytes = b"") -> None:
    line.sendall("\r\n".join(["HTTP/1.1 200 OK", *lines, "Connection: close", "", ""]).encode() + body)


def serving(
    told: str = f"Content-Length: {len(CONTENT)}", body: bytes = CONTENT, *, head: str | None = None
) -> Callable:
    """Return what answers GET with `told` and `body`, and HEAD with `head`."""

    def one(line: socket.socket, request: bytes) -> None:
        if request.startswith(b"HEAD"):
            answer(line, *([head] if head else [told]))
        else:
            answer(line, told, body=body)

    return one


def test_a_pull_between_two_places_with_two_tokens(place: Place, owner: httpx2.Client) -> None:
    owner.put("/from/f", content=CONTENT)
    here, there = place.macaroon("/to", "UPLOAD"), place.macaroon("/from", "DOWNLOAD")
    with place.client(here) as client:
        status, verdict, markers = third_party(
            client, "/to/with%20blank", Source=f"{place.url}/from/f", TransferHeaderAuthorization=f"Bearer {there}",
            Credential="none", RequireChecksumVerification="true", SciTag="66", X_Number_Of_Streams="4",
        )  # fmt: skip
        assert (status, verdict) == (202, "success: Created") and len(markers) >= 2
        assert "Stripe Bytes Transferred: 0" in markers[0] and f"Transferred: {len(CONTENT)}" in markers[-1]
        assert owner.get("/to/with%20blank").content == CONTENT
        for token in (here, "wrong", None):
            sent = {"TransferHeaderAuthorization": f"Bearer {token}"} if token else {}
            status, verdict, _ = third_party(client, "/to/other", Source=f"{place.url}/from/f", **sent)
            assert status == 202 and verdict.startswith("failure:") and ("401" in verdict or "403" in verdict)
        assert third_party(client, "/from/new", Source=f"{place.url}/from/f")[0] == 403
        assert third_party(client, "/to/with%20blank", Source=f"{place.url}/from/f")[0] == 403
    assert place.left() == ["from/f", "to/with blank"]


def test_a_push_between_two_engines_with_two_tokens(place: Place, owner: httpx2.Client, second: Place) -> None:
    owner.put("/f", content=CONTENT)
    here, there = place.macaroon("/", "DOWNLOAD"), second.macaroon("/in", "UPLOAD,READ_METADATA")
    with place.client(here) as client:
        status, verdict, _ = third_party(
            client, "/f", Destination=f"{second.url}/in/a%25b", TransferHeaderAuthorization=f"Bearer {there}",
            RequireChecksumVerification="true",
        )  # fmt: skip
        assert (status, verdict) == (202, "success: Created")
        for overwrite, token in (("F", there), ("T", there), ("T", here)):
            sent = {"Overwrite": overwrite, "TransferHeaderAuthorization": f"Bearer {token}"}
            status, verdict, _ = third_party(client, "/f", Destination=f"{second.url}/in/a%25b", **sent)
            assert status == 202 and verdict.startswith("failure:"), (overwrite, verdict)
        assert third_party(client, "/nothing", Destination=f"{second.url}/in/g")[0] == 404
    with second.client() as other:
        assert other.get("/in/a%25b").content == CONTENT
    assert second.left() == ["in/a%b"]


def test_what_is_asked_must_make_sense(place: Place, owner: httpx2.Client) -> None:
    owner.put("/f", content=b"x")
    owner.put("/d/f", content=b"x")
    far = "http://127.0.0.1:9/f"
    for headers in ({}, {"Source": far, "Destination": far}, {"Source": far, "Overwrite": "maybe"}, {"Source": "ftp://a/b"},
                    {"Source": "file:///etc/passwd"}, {"Source": "/f"}, {"Source": "http://"}, {"Source": "http://a:b@127.0.0.1/f"},
                    {"Source": "http://127.0.0.1:x/f"}, {"Source": far, "Credential": "gridsite"}, {"Destination": "x y"},
                    {"Source": "http://169.254.169.254/latest"}, {"Source": "http://[fe80::1]/f"},
                    {"Source": "http://[::ffff:169.254.169.254]/f", "Overwrite": "F"}):  # fmt: skip
        status, text, _ = third_party(owner, "/new", **headers)
        assert status in (400, 403, 404, 502) or (status == 202 and text.startswith("failure:")), (headers, status)
    assert third_party(owner, "/f", Source=far, Overwrite="F")[0] == 412
    assert third_party(owner, "/d", Source=far)[0] == 405
    assert third_party(owner, "/f/below", Source=far)[0] == 409
    assert third_party(owner, "/d", Destination=far)[0] == 400
    assert third_party(owner, "/new", Source=far)[1].startswith("failure:")
    assert place.left() == ["d/f", "f"]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (serving(body=CONTENT[:-7]), "bytes where"),
        (serving(body=b""), "bytes where"),
        (serving(head=f"Content-Length: {len(CONTENT) + 1}"), "contradicts itself"),
        (serving(f"Content-Length: {len(CONTENT)}\r\nDigest: adler32=00000001"), "adler32"),
        (serving(head=f"Content-Length: {len(CONTENT)}\r\nRepr-Digest: sha-256=:{'A' * 43}=:"), "sha256"),
        (serving(head=f"Content-Length: {len(CONTENT)}\r\nDigest: md5={'A' * 22}=="), "md5"),
        (serving("X-Nothing: told", head="X-Nothing: told"), "where the file ends"),
        (serving("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"), "broke off"),
        (serving("Transfer-Encoding: chunked", body=b"zz\r\n"), "broke off"),
        (serving(f"Content-Encoding: gzip\r\nContent-Length: {len(CONTENT)}"), "encoding"),
        (lambda line, request: line.sendall(b"SSH-2.0-not-http\r\n"), "broke off"),
        (lambda line, request: None, "broke off"),
        (lambda line, request: line.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nnot today"), "403: not today"),
        (lambda line, request: line.sendall(b"HTTP/1.1 206 Part\r\nContent-Length: 1\r\n\r\nx"), "206"),
    ],
    ids=["short", "empty", "size", "adler32", "sha256", "md5", "endless", "chunk", "framing", "packed", "ssh", "mute", "no", "part"],
)  # fmt: skip
def test_a_source_that_lies_leaves_nothing_and_loses_nothing(place: Place, owner, source, why: str) -> None:
    owner.put("/kept", content=b"as it was")
    with answering(source) as address:
        for path in ("/kept", "/new"):
            status, verdict, _ = third_party(owner, path, Source=f"{address}/f")
            assert status == 202 and verdict.startswith("failure:") and why in verdict, verdict
    assert place.left() == ["kept"] and owner.get("/kept").content == b"as it was"


def test_a_source_without_a_digest_is_taken_unless_one_is_required(place: Place, owner: httpx2.Client) -> None:
    with answering(serving()) as address:
        assert third_party(owner, "/f", Source=f"{address}/f")[1] == "success: Created"
        verdict = third_party(owner, "/g", Source=f"{address}/f", RequireChecksumVerification="true")[1]
        assert verdict.startswith("failure:") and "digest" in verdict
    wrong = serving(f"Content-Length: {len(CONTENT)}\r\nDigest: adler32=00000001")
    with answering(wrong) as address:
        assert (
            third_party(owner, "/h", Source=f"{address}/f", RequireChecksumVerification="false")[1]
            == "success: Created"
        )
    chunked = serving("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n")
    with answering(chunked) as address:
        assert third_party(owner, "/c", Source=f"{address}/f")[1] == "success: Created"
    assert owner.get("/c").content == b"hello" and place.left() == ["c", "f", "h"]


def test_a_source_that_hangs_is_given_up(place: Place, owner: httpx2.Client) -> None:
    def hanging(line: socket.socket, request: bytes) -> None:
        if request.startswith(b"HEAD"):
            return
        answer(line, "Content-Length: 3000000", body=b"x" * 1_300_000)
        with contextlib.suppress(OSError):
            line.recv(1)

    with answering(hanging) as address:
        status, verdict, markers = third_party(owner, "/f", Source=f"{address}/f")
    assert status == 202 and "in time" in verdict
    # The fixture asks for a marker every 0.2 s and gives the source 3 s.
    assert len(markers) >= 10 and any("Transferred: 1048576" in item for item in markers)
    assert place.left() == []


def test_a_client_that_hangs_up_ends_the_transfer(place: Place, owner: httpx2.Client) -> None:
    ended = threading.Event()

    def slow(line: socket.socket, request: bytes) -> None:
        if request.startswith(b"HEAD"):
            return
        answer(line, "Content-Length: 100000000", body=b"x" * 700_000)
        # Longer than the storage waits by itself would not be told apart from a hang-up.
        line.settimeout(2.0)
        with contextlib.suppress(TimeoutError):
            line.recv(1)
            ended.set()

    with answering(slow) as address, place.client() as client:
        with client.stream("COPY", "/f", headers={"Source": f"{address}/f"}) as answered:
            text = answered.iter_text()
            assert next(text).startswith(MARKER)
            until(lambda: place.left())
            assert [name.startswith(".writing-") for name in place.left()] == [True]
        assert ended.wait(2.0)
        until(lambda: place.left() == [])
    assert owner.get("/f").status_code == 404


def test_a_token_is_not_sent_on_to_another_host(place: Place, owner: httpx2.Client) -> None:
    seen: dict[str, list[bytes]] = {"first": [], "second": []}

    def second(line: socket.socket, request: bytes) -> None:
        seen["second"].append(request)
        answer(
            line,
            "Content-Length: 5",
            body=b"" if request.startswith(b"HEAD") else b"hello",
        )

    with answering(second) as far:

        def first(line: socket.socket, request: bytes) -> None:
            seen["first"].append(request)
            where = "/again" if b" /start" in request else f"{far}/there"
            line.sendall(f"HTTP/1.1 307 Over There\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode())

        with answering(first) as near:
            sent = {"TransferHeaderAuthorization": "Bearer secret", "TransferHeaderX-More": "also secret"}
            assert third_party(owner, "/f", Source=f"{near}/start", **sent)[1] == "success: Created"
    assert (
        all(b"Bearer secret" in item and b"also secret" in item for item in seen["first"]) and len(seen["first"]) == 4
    )
    assert all(b"secret" not in item for item in seen["second"]) and len(seen["second"]) == 2
    assert owner.get("/f").content == b"hello"


@pytest.mark.parametrize("where", ["/loop", "http://169.254.169.254/x", "ftp://127.0.0.1/x", "http://a:b@127.0.0.1/"])
def test_redirects_lead_nowhere_that_an_address_may_not(place: Place, owner: httpx2.Client, where: str) -> None:
    def redirecting(line: socket.socket, request: bytes) -> None:
        line.sendall(f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode())

    owner.put("/f", content=b"x")
    with answering(redirecting) as address:
        assert third_party(owner, "/new", Source=f"{address}/f")[1].startswith("failure:")
        assert third_party(owner, "/f", Destination=f"{address}/f")[1].startswith("failure:")
    assert place.left() == ["f"]


def test_headers_of_the_connection_are_not_sent_on(owner: httpx2.Client) -> None:
    seen: list[bytes] = []

    def one(line: socket.socket, request: bytes) -> None:
        seen.append(request)
        serving("Content-Length: 2", b"ok")(line, request)

    with answering(one) as address:
        sent = {
            f"TransferHeader{name}": "evil"
            for name in ("Host", "Content-Length", "Transfer-Encoding", "Connection", "Range")
        }
        assert third_party(owner, "/f", Source=f"{address}/f", **sent)[1] == "success: Created"
    assert all(b"evil" not in request for request in seen) and b"Scitag" not in b"".join(seen)


class _Target:
    """A server that takes uploads its own way, and remembers what it was asked."""

    def __init__(self, *, before: int = 404, after: str = "HTTP/1.1 200 OK\r\n\r\n", put: str = "HTTP/1.1 201 Created\r\n\r\n",
                 reads: int | None = None, continues: bool = True) -> None:  # fmt: skip
        self.before, self.after, self.put, self.reads, self.continues = before, after, put, reads, continues
        self.asked: list[str] = []
        self.body = b""

    def __call__(self, line: socket.socket, request: bytes) -> None:
        method = request.split()[0].decode()
        first = not self.asked
        self.asked.append(method)
        if method == "PUT":
            _, _, self.body = request.partition(b"\r\n\r\n")
            if self.continues:
                line.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            while len(self.body) < (len(CONTENT) if self.reads is None else self.reads):
                part = line.recv(65536)
                if not part:
                    return
                self.body += part
            line.sendall(self.put.encode())
        elif method == "HEAD":
            line.sendall(f"HTTP/1.1 {self.before} X\r\n\r\n".encode() if first else self.after.encode())
        else:
            line.sendall(b"HTTP/1.1 204 Gone\r\n\r\n")


@pytest.mark.parametrize(
    ("target", "why", "removed"),
    [
        (_Target(), "", False),
        (_Target(continues=False), "", False),
        (_Target(after=f"HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\nDigest: adler32={adler32(CONTENT)}\r\n\r\n"), "", False),
        (_Target(after="HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), "3 bytes of", True),
        (_Target(after="HTTP/1.1 200 OK\r\nDigest: adler32=00000001\r\n\r\n"), "digest", True),
        (_Target(before=200, after="HTTP/1.1 200 OK\r\nDigest: adler32=00000001\r\n\r\n"), "digest", False),
        (_Target(put="HTTP/1.1 507 Full\r\nContent-Length: 4\r\n\r\nfull"), "507: full", True),
        (_Target(reads=100_000, put="HTTP/1.1 507 Full\r\n\r\n"), "", True),
        (_Target(reads=100_000, put=""), "broke off", True),
        (_Target(reads=0, continues=False, put="HTTP/1.1 403 No\r\n\r\n"), "403", False),
    ],
    ids=["plain", "no-100", "digest", "size", "wrong", "wrong-over-old", "full", "full-early", "breaks", "refused"],
)  # fmt: skip
def test_a_push_is_believed_when_the_other_side_has_the_file(
    place: Place, owner, target, why: str, removed: bool
) -> None:
    owner.put("/f", content=CONTENT)
    with answering(target) as address:
        verdict = third_party(owner, "/f", Destination=f"{address}/f")[1]
    if why or removed:
        assert verdict.startswith("failure:") and why in verdict
    else:
        assert verdict == "success: Created" and target.body == CONTENT
    assert ("DELETE" in target.asked) is removed, target.asked


def test_the_server_answers_others_while_transfers_go_on(place: Place, owner: httpx2.Client) -> None:
    def hanging(line: socket.socket, request: bytes) -> None:
        if not request.startswith(b"HEAD"):
            answer(line, "Content-Length: 1000000", body=b"x")
        with contextlib.suppress(OSError):
            line.recv(1)

    verdicts: list[str] = []
    with answering(hanging) as address, contextlib.ExitStack() as stack:
        threads = [
            threading.Thread(target=lambda n=n: verdicts.append(third_party(owner, f"/f{n}", Source=f"{address}/f")[1] or "503"))
            for n in range(40)
        ]  # fmt: skip
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        until(lambda: any("transfers are going on" in item for item in verdicts))
        for _ in range(20):
            assert owner.put("/other", content=b"x").status_code == 503
            assert owner.request("PROPFIND", "/", headers={"Depth": "1"}).status_code == 207
            assert httpx2.get(f"{place.serving.url}/health", timeout=2.0).status_code == 200
    # 32 are the limit of the fixture.
    assert sum("in time" in item for item in verdicts) == 32 and len(verdicts) == 40
    assert owner.put("/other", content=b"x").status_code == 201 and place.left() == ["other"]
