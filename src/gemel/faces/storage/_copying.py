"""COPY: third-party copies, pulled or pushed, with performance markers; and copies within the element."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gemel.base.errors import GemelError
from gemel.faces.storage._asked import Asked
from gemel.faces.storage._errors import Refusal, spoken
from gemel.faces.storage._flow import Broken
from gemel.faces.storage._places import plain_address
from gemel.faces.storage._remote import Remote
from gemel.faces.storage._transfer import Pull, Push, Transfer, copied
from gemel.faces.storage._writing import check_target

_log = logging.getLogger(__name__)
_SENT_ON = "transferheader"
# What belongs to one connection, or to how the message is framed (RFC 9110, sections 7.6.1 and 8.6).
_NOT_SENT_ON = {
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "accept-encoding", "range", "content-range",
}  # fmt: skip


async def copy(asked: Asked) -> Response:
    """Copy a file from (`Source`) or to (`Destination`) another server, or a file or folder within the element."""
    pulls, pushes = "source" in asked.headers, "destination" in asked.headers
    if pulls == pushes:
        raise Refusal(400, "COPY has either a Source to pull from or a Destination to push to.")
    asked.overwrites()
    to = asked.destination() if pushes else None
    if to is not None:
        replaced = await asked.element.start(copied, asked, to)
        return Response(status_code=204 if replaced else 201)
    # gfal2 sends the header twice.
    if {item.strip().lower() for item in asked.headers.get("credential", "none").split(",")} != {"none"}:
        hint = "Send Credential: none, and the other side's token as TransferHeaderAuthorization."
        raise Refusal(400, f"No credentials are fetched for the other side. {hint}")
    transfer = await asked.element.soon(_prepared, asked, pulls)
    return Markers(asked, transfer)


def _prepared(asked: Asked, pulls: bool) -> Transfer:
    address = plain_address(asked.headers["source" if pulls else "destination"])
    limits, element = asked.element.limits, asked.element
    if pulls:
        check_target(asked)
    else:
        asked.grant.require(asked.spot, "DOWNLOAD")
        if asked.node().folder:
            raise Refusal(400, "A folder is not sent as a whole; send its files.")
    remote = Remote(address, _sent_on(asked.headers), element.web.check, limits.silence)
    required = asked.headers.get("requirechecksumverification", "").strip().lower()
    verifies = {"true": True, "false": False}.get(required)
    return (Pull if pulls else Push)(asked, remote, verifies)


def _sent_on(headers: Mapping[str, str]) -> dict[str, str]:
    found = {name[len(_SENT_ON) :]: value for name, value in headers.items() if name.startswith(_SENT_ON)}
    return {name.title(): value for name, value in found.items() if name and name not in _NOT_SENT_ON}


class Markers(Response):
    """The answer to a third-party copy: it tells how far the transfer is, and at last how it ended.

    A client that hangs up ends the transfer.
    """

    def __init__(self, asked: Asked, transfer: Transfer) -> None:
        super().__init__(status_code=202, media_type="text/perf-marker-stream")
        del self.headers["content-length"]
        self._asked, self._transfer = asked, transfer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the transfer while its markers are sent."""
        try:
            work = self._asked.element.start(self._transfer.run)
        except Refusal as refusal:
            await refusal.response()(scope, receive, send)
            return
        gone = asyncio.ensure_future(_hung_up(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while not (work.done() or gone.done() or self._asked.stopping.is_set()):
                await _say(send, self._marker())
                await asyncio.wait(
                    {work, gone}, timeout=self._asked.element.limits.marker, return_when="FIRST_COMPLETED"
                )
            if not gone.done():
                if not work.done():
                    self._transfer.cancel()
                await _say(send, self._marker() + await _verdict(work), more=False)
        finally:
            gone.cancel()
            self._transfer.cancel()

    def _marker(self) -> str:
        return (
            f"Perf Marker\n    Timestamp: {int(time.time())}\n    Stripe Index: 0\n"
            f"    Stripe Bytes Transferred: {self._transfer.done}\n    Total Stripe Count: 1\nEnd\n"
        )


async def _verdict(work: asyncio.Future[None]) -> str:
    try:
        await work
    except Broken:
        return "failure: The transfer was cancelled.\n"
    except Refusal as refusal:
        return f"failure: {refusal.text}\n"
    except GemelError as error:
        return f"failure: {spoken(error)}\n"
    except Exception as error:
        # Whatever it was, the client is told in the form that it understands.
        _log.exception("A third-party copy stumbled.")
        return f"failure: The storage element stumbled: {type(error).__name__}.\n"
    return "success: Created\n"


async def _say(send: Send, text: str, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": more})


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
