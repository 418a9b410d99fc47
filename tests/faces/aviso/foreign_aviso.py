"""Run in pyaviso's own environment: what its clients see of our face, as JSON."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import sys
import threading
import time
from typing import Any

import pyaviso


def failing(work) -> list[Any]:
    try:
        work()
    except pyaviso.AvisoError as error:
        return [type(error).__name__, str(error), getattr(error, "status", None)]
    return []


def seen(item) -> list[Any]:
    return [item.event_type, item.sequence, item.identifier, item.payload]


def live(client) -> list[Any]:
    """Listen first, and be notified afterwards, until the first comes: when a listener is there is not told."""
    found: list[Any] = []
    iterator = client.listen("river", filter={"gauge": "live"})

    def read() -> None:
        for item in iterator:
            found.append(seen(item))
            if len(found) == 2:
                return

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while len(found) < 2 and time.monotonic() < deadline:
        client.notify(event_type="river", identifier={"gauge": "other"}, payload=0)
        client.notify(event_type="river", identifier={"gauge": "live"}, payload={"flow": 7.5})
        thread.join(0.2)
    iterator.close()
    return found


async def from_async(url: str, token: str) -> list[Any]:
    client = pyaviso.AsyncAvisoClient(base_url=url, auth=pyaviso.Bearer(token))
    listener = client.listen("river", start_from=0, mode="replay_only", filter={"gauge": "mill"})
    return [item.payload async for item in listener]


def main(url: str, token: str, first: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    client = pyaviso.AvisoClient(base_url=url, auth=pyaviso.Bearer(token), state_store=pyaviso.MemoryStore())
    answer = client.notify(event_type="river", identifier={"gauge": "mill", "step": 6}, payload={"flow": 1.5})
    told["notified"] = answer.as_dict()
    client.notify(event_type="river", identifier={"gauge": "weir", "step": 12}, payload="dry")
    client.notify(event_type="river", identifier={"gauge": "mill", "step": 18})
    every = [seen(item) for item in client.listen("river", start_from=0, mode="replay_only")]
    told["replayed"] = every
    second = every[1][1]
    told["from second"] = [seen(item)[1] for item in client.listen("river", start_from=second, mode="replay_only")]
    told["until second"] = [
        seen(item)[1] for item in client.listen("river", start_from=0, until=second, mode="replay_only")
    ]
    told["since"] = [
        seen(item)[1] for item in client.listen("river", start_from="2001-01-01T00:00:00Z", mode="replay_only")
    ]
    told["until long ago"] = [
        seen(item)[1]
        for item in client.listen(
            "river", start_from="2001-01-01T00:00:00Z", until="2002-01-01T00:00:00Z", mode="replay_only"
        )
    ]
    told["mill"] = [
        seen(item)[1] for item in client.listen("river", start_from=0, mode="replay_only", filter={"gauge": "mill"})
    ]
    told["early"] = [
        seen(item)[1] for item in client.listen("river", start_from=0, mode="replay_only", filter={"step": {"lte": 12}})
    ]
    history = client.listen("river", start_from=second - 1)
    told["history then live"] = [seen(next(history))[1], seen(next(history))[1]]
    client.notify(event_type="river", identifier={"gauge": "ford"}, payload=[1, 2])
    told["history then live"].append(seen(next(history))[3])
    history.close()
    told["live"] = live(client)
    told["async"] = asyncio.run(from_async(url, token))
    alerts = client.listen(
        "twin", start_from=int(first) - 1, mode="replay_only", filter={"twin": "brook", "type": "alert"}
    )
    told["alerts"] = [item.as_dict() for item in alerts]
    told["datasets"] = [
        seen(item)[2] for item in client.listen("dataset", start_from=0, mode="replay_only", filter={"scope": "*"})
    ]
    told["schema"] = client.schema().as_dict()
    told["schema of twin"] = client.schema_for("twin").as_dict()
    return told | refused(client, url, token)


def refused(client, url: str, token: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    basic = pyaviso.AvisoClient(base_url=url, auth=pyaviso.Basic("anyone", token))
    told["basic"] = basic.notify(event_type="river", identifier={"gauge": "basic"}).status
    wrong = pyaviso.AvisoClient(base_url=url, auth=pyaviso.Bearer("wrong"))
    nobody = pyaviso.AvisoClient(base_url=url, auth=pyaviso.Anonymous())
    told["wrong token"] = failing(lambda: wrong.notify(event_type="river", identifier={}))
    told["wrong listener"] = failing(lambda: next(wrong.listen("river")))
    told["no token"] = failing(lambda: nobody.schema())
    told["unknown"] = failing(lambda: next(client.listen("rivr")))
    told["unknown replay"] = failing(lambda: next(client.listen("rivr", start_from=0, mode="replay_only")))
    told["unknown schema"] = failing(lambda: client.schema_for("rivr"))
    told["unknown twin"] = failing(lambda: next(client.listen("twin", filter={"twin": "nothing"})))
    told["no twin"] = failing(lambda: next(client.listen("twin")))
    told["ours"] = failing(lambda: client.notify(event_type="twin", identifier={"twin": "brook"}))
    told["wipe"] = failing(lambda: client.wipe_stream("river"))
    return told


if __name__ == "__main__":
    faulthandler.dump_traceback_later(60, exit=True)
    print(json.dumps(main(*sys.argv[1:])))
