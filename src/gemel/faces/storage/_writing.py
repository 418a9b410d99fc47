"""PUT, DELETE, MKCOL, MOVE, and copies within the element.

Folders above a file are made when it is sent here, by PUT or by a third-party copy, as XRootD and dCache do and their
clients count on. MKCOL, MOVE and copies within the element keep to RFC 4918 (sections 9.3, 9.8.5, 9.9.4): where the folder
around is missing they answer 409.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.responses import Response

from gemel.base.errors import Denied, ResultCorrupt
from gemel.faces.storage._asked import Asked
from gemel.faces.storage._conditions import check_conditions
from gemel.faces.storage._digests import digests_in, told_in
from gemel.faces.storage._errors import Refusal, spoken
from gemel.faces.storage._flow import Inflow
from gemel.faces.storage._places import Spot
from gemel.faces.storage._tree import Node, Tree
from gemel.infra.lake.storages import Readable
from gemel.infra.lake.transport import Hashed


async def put(asked: Asked) -> Response:
    """Store a file: whole, or not at all."""
    size, expected = _announced(asked)
    before = await asked.element.soon(check_target, asked, size)
    flow = Inflow(asked.element.limits.silence)
    filling = asyncio.create_task(flow.fill(asked.receive))
    try:
        work = asked.element.start(_stored, asked, flow, size, expected)
        node, digests = await asked.ended(work, flow.close)
    finally:
        flow.close()
        filling.cancel()
    headers = told_in({"want-digest": "", **asked.headers}, digests) | ({"ETag": node.tag} if node.tag else {})
    return Response(status_code=204 if before else 201, headers=headers)


def store(
    asked: Asked, stream: Readable, size: int | None = None, expected: Mapping[str, str] | None = None
) -> tuple[Node, dict[str, str]]:
    """Return what was stored at the request's place, and its digests; whether it may be there is asked again at its end.

    Raises:
        ResultCorrupt: It is not what was expected; nothing was stored.
    """
    element, spot, tree = asked.element, asked.spot, asked.tree()
    with (
        Hashed(stream, expected, size, what=f"'{spot.place}'") as hashed,
        element.commit(spot.storage, spot.path, hashed, lambda: _check_node(asked, tree)) as ending,
    ):
        tree.write(spot.path, ending, size)
        seen = hashed.seen()
        node = tree.look(spot.path)
        if node is None:
            raise Refusal(409, f"'{spot.place}' was removed as soon as it was there.")
        element.digests.remember(spot.storage, node, seen.digests)
    return node, dict(seen.digests)


def check_target(asked: Asked, size: int | None = None) -> Node | None:
    """Return the file that a new one would replace, when it may.

    Raises:
        Refusal: It may not be there: a folder (405), a file among the folders above (409), no space (507), conditions.
        Denied: The token does not allow it.
    """
    asked.grant.require(asked.spot, "UPLOAD")
    if not asked.spot.path or asked.spot.slash:
        raise Refusal(405, "This is the address of a folder.", {"Allow": "OPTIONS, PROPFIND, PROPPATCH, MKCOL"})
    tree = asked.tree()
    if not tree.storage.writable:
        raise Denied(f"Storage '{asked.spot.storage}' is only read.")
    _check_above(tree, asked.spot)
    node = _check_node(asked, tree)
    free = tree.free()
    if size is not None and free is not None and size > free:
        raise Refusal(507, f"{size} bytes do not fit into the {free} that are free.")
    return node


def _stored(asked: Asked, flow: Inflow, size: int | None, expected: Mapping[str, str]) -> tuple[Node, dict[str, str]]:
    try:
        return store(asked, flow, size, expected)
    except ResultCorrupt as error:
        raise Refusal(400, f"{spoken(error)} Nothing was kept.") from error


def _announced(asked: Asked) -> tuple[int | None, dict[str, str]]:
    headers = asked.headers
    if "content-range" in headers:
        raise Refusal(400, "A part of a file cannot be written; send the whole.")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refusal(415, "Files are kept as they are sent; send this one without an encoding.")
    length = headers.get("content-length", "")
    size = int(length) if length.isdigit() else None if "transfer-encoding" in headers else 0
    return size, digests_in(headers, strict=True)


def _check_node(asked: Asked, tree: Tree) -> Node | None:
    node = tree.look(asked.spot.path)
    if node and node.folder:
        raise Refusal(405, f"'{asked.spot.place}' is a folder.", {"Allow": "OPTIONS, PROPFIND, PROPPATCH, DELETE"})
    if asked.method == "PUT":
        check_conditions(asked.headers, node, reading=False)
    elif node and not asked.overwrites():
        raise Refusal(412, f"'{asked.spot.place}' is there already, and Overwrite is F.")
    if node:
        asked.grant.require(asked.spot, "DELETE")
    return node


def _check_above(tree: Tree, spot: Spot) -> None:
    parts = spot.path.split("/")[:-1]
    for depth in range(len(parts), 0, -1):
        node = tree.look("/".join(parts[:depth]))
        if node and not node.folder:
            raise Refusal(409, f"'{node.path}' is a file, so nothing can lie below it.")
        if node:
            return


async def delete(asked: Asked) -> Response:
    """Remove a file, or a folder with all in it."""
    asked.grant.require(asked.spot, "DELETE")
    await asked.element.start(_deleted, asked)
    return Response(status_code=204)


def _deleted(asked: Asked) -> None:
    if not asked.spot.path:
        raise Refusal(403, "A storage itself is not removed over HTTP.")
    node = asked.node()
    if node.folder and asked.headers.get("depth", "infinity").lower() != "infinity":
        raise Refusal(400, "A folder is removed with all in it (Depth: infinity).")
    with asked.element.turn(asked.spot.storage, asked.spot.path):
        check_conditions(asked.headers, node, reading=False)
        asked.tree().remove(asked.spot.path)


async def make_folder(asked: Asked) -> Response:
    """Make a folder."""
    asked.grant.require(asked.spot, *([] if "MANAGE" in asked.grant.activities else ["UPLOAD"]))
    if asked.headers.get("content-length", "0") != "0" or "transfer-encoding" in asked.headers:
        raise Refusal(415, "MKCOL takes no body.")
    await asked.element.soon(_folder_made, asked)
    return Response(status_code=201)


def _folder_made(asked: Asked) -> None:
    tree, spot = asked.tree(), asked.spot
    if tree.look(spot.path) is not None:
        raise Refusal(405, f"'{spot.place}' is there already.")
    above = tree.look(spot.parent)
    if above is None or not above.folder:
        raise Refusal(409, f"There is no folder around '{spot.place}'.")
    try:
        tree.make_folder(spot.path)
    except FileExistsError as error:
        raise Refusal(405, f"'{spot.place}' is there already.") from error


async def move(asked: Asked) -> Response:
    """Give a file or folder another place on its storage."""
    if "destination" not in asked.headers:
        raise Refusal(400, "MOVE needs a Destination.")
    to = asked.destination()
    if to is None or to.storage != asked.spot.storage:
        raise Refusal(502, "Files are moved within one storage; copy them to others.")
    replaced = await asked.element.start(_moved, asked, to)
    return Response(status_code=204 if replaced else 201)


def _moved(asked: Asked, to: Spot) -> bool:
    asked.grant.require(asked.spot, "MANAGE")
    asked.grant.require(to, "MANAGE")
    tree = asked.tree()
    with asked.element.turn(to.storage, to.path):
        node, there = asked.node(), check_destination(asked, tree, to)
        if there and (there.folder or node.folder):
            tree.remove(to.path)
        tree.move(asked.spot.path, to.path)
    return there is not None


def check_destination(asked: Asked, tree: Tree, to: Spot) -> Node | None:
    """Return what MOVE or COPY would replace, when it may.

    Raises:
        Refusal: It may not (403, 409, 412).
        Denied: The token does not allow it.
    """
    here = asked.spot
    check_conditions(asked.headers, asked.node(), reading=False)
    if not here.path or not to.path:
        raise Refusal(403, "A storage itself is neither moved nor copied.")
    one, other = f"{here.storage}/{here.path}/", f"{to.storage}/{to.path}/"
    if one.startswith(other) or other.startswith(one):
        raise Refusal(403, "The destination is the place itself, or one lies within the other.")
    above = tree.look(to.parent)
    if above is None or not above.folder:
        raise Refusal(409, f"There is no folder around '{to.place}'.")
    there = tree.look(to.path)
    if there and not asked.overwrites():
        raise Refusal(412, f"'{to.place}' is there already, and Overwrite is F.")
    if there:
        asked.grant.require(to, "DELETE")
    return there
