"""No token is shown: in words of errors, in what they hold, in logs, in the journal."""

from __future__ import annotations

import json
import logging
import traceback

from crooked_server import given

from gemel.base.errors import (
    GemelError,
)

KEY = bytes(range(64))


class TestNothingIsShown:
    def test_in_words_of_errors_and_in_what_they_hold(self, broker, storages, crooked, client, reference) -> None:
        """Let everything fail in every way while tokens are about, and look through all that is left of it."""
        secrets = [
            "s3cr3t&of=client",
            "s3cr3t%26of",
            "granted-token",
            "subject-token",
            "rotated-refresh",
            "first-refresh",
        ]
        subject = {"subject_token": reference("subject", "subject-token")}
        refresh = {"refresh_token": reference("refresh", "first-refresh"), "auth": "post"}
        broker.add("c", "client_credentials", client)
        broker.add("e", "exchange", client | subject)
        broker.add("r", "refresh", client | refresh)
        storages.add("s", "webdav", {"url": crooked.url, "profile": "c"})
        told = {"access_token": "granted-token", "refresh_token": "rotated-refresh", "token_type": "Bearer"}
        good = json.dumps(told).encode()
        seen: list[str] = []

        def note(error: BaseException | None) -> None:
            seen.append("".join(traceback.format_exception(error)) if error else "")
            while error is not None:
                seen.extend([repr(error), str(error), str(getattr(error, "document", dict)()), repr(vars(error))])
                request = getattr(error, "_request", None)
                seen.append(str([(key, value) for key, value in request.headers.multi_items()]) if request else "")
                seen.append(str(getattr(error, "doc", "")))
                error = error.__cause__ or error.__context__

        for answer in (good, good[:-10], b"[" + good, None, b'{"error": "invalid_grant", "sent": ' + good + b"}"):
            for status in (200, 302, 400, 401, 403, 500):
                crooked.answer = lambda request, body, s=status, a=answer: (
                    (a and (s, {"Location": "/x"}, a)) if request.path == "/token" else None
                )
                for name in "cer":
                    try:
                        seen.append(repr(broker.token(name, "x", "read", f"/{status}{len(seen)}/y")))
                    except GemelError as error:
                        note(error)
                try:
                    storages.get("s").size("x/y")
                except GemelError as error:
                    note(error)
        seen.extend(repr(item) for item in (broker, broker.list(), storages.list(), vars(broker), broker._slots))
        everything = "\n".join(seen)
        assert len(seen) > 100
        for text in secrets:
            assert text not in everything, text

    def test_in_the_journal_and_the_logs(self, broker, crooked, client, reference, home, caplog) -> None:
        caplog.set_level(logging.DEBUG)
        crooked.answer = given("granted-token", refresh_token="rotated-refresh")
        refresh = reference("refresh", "first-refresh")
        broker.add("r", "refresh", client | {"refresh_token": refresh, "auth": "post"})
        assert broker.token("r", "x", "read", "/y").value == "granted-token"
        assert broker.token("r", "z", "read", "/y").value == "granted-token"
        # The second request showed the token that the first one's answer brought.
        assert b"rotated-refresh" in crooked.requests[1][3]
        kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
        logged = "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
        assert "httpx" in logged or "httpcore" in logged
        for text in ("first-refresh", "rotated-refresh", "granted-token", "s3cr3t"):
            assert text.encode() not in kept and text not in logged
