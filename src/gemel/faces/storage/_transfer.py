"""What a COPY does in its thread: pull a file in, push one out, or copy within the element."""

from __future__ import annotations

import contextlib
from typing import Protocol

from gemel.base.errors import GemelError, ResultCorrupt, StoreUnavailable
from gemel.faces.storage._asked import Asked
from gemel.faces.storage._errors import Refusal
from gemel.faces.storage._flow import Broken, Stoppable
from gemel.faces.storage._places import Spot
from gemel.faces.storage._remote import Remote, Told
from gemel.faces.storage._tree import Node, Tree
from gemel.faces.storage._writing import check_destination, store
from gemel.infra.lake.storages import Readable
from gemel.infra.lake.transport import Hashed


class Transfer(Protocol):
    """A third-party copy.

    Attributes:
        done: Bytes that have passed.
    """

    done: int

    def run(self) -> None:
        """Copy, and raise when it failed; nothing is left half-written then."""

    def cancel(self) -> None:
        """Make `run` end soon, from another thread."""


class Pull:
    """A copy from another server to here.

    Args:
        asked: The request, whose place is the target.
        remote: The source.
        verifies: Whether a digest of the source is compared: it must be, need not be, or (None) is if it tells one.
    """

    def __init__(self, asked: Asked, remote: Remote, verifies: bool | None) -> None:
        self._asked, self._remote, self._verifies = asked, remote, verifies
        self.done = 0

    def run(self) -> None:
        """Copy."""
        before = self._told()
        with self._remote.get() as (told, body):
            size = self._size(before, told)
            expected = {**before.digests, **told.digests} if self._verifies is not False else {}
            if self._verifies and not expected:
                raise StoreUnavailable(f"{self._remote.host} tells no digest that is known here, and one is required.")
            store(self._asked, _Counted(body, self), size, expected)

    def cancel(self) -> None:
        """End it."""
        self._remote.cancel()

    def _told(self) -> Told:
        if self._verifies is False:
            return Told(0)
        try:
            found = self._remote.head()
        except StoreUnavailable:
            # Addresses that are signed for GET alone, say, refuse to be asked; GET itself tells what is wrong.
            return Told(0)
        return found if found.status == 200 else Told(0)

    def _size(self, before: Told, told: Told) -> int:
        sizes = {item.size for item in (before, told)} - {None}
        if len(sizes) > 1:
            raise StoreUnavailable(f"{self._remote.host} contradicts itself: the file has {_spoken(sizes)} bytes.")
        if not sizes and "chunked" not in told.headers.get("transfer-encoding", ""):
            raise StoreUnavailable(f"{self._remote.host} does not say where the file ends.")
        return next(iter(sizes), None)  # type: ignore[return-value]


class Push:
    """A copy from here to another server.

    Args:
        asked: The request, whose place is the source.
        remote: The target.
        verifies: Whether a digest of the target is compared: it must be, need not be, or (None) is if it tells one.
    """

    def __init__(self, asked: Asked, remote: Remote, verifies: bool | None) -> None:
        self._asked, self._remote, self._verifies = asked, remote, verifies
        self.done = 0

    def run(self) -> None:
        """Copy; a file that was not there before is removed again when the copy failed."""
        before = self._remote.head(digests=False).status
        if before != 404 and not self._asked.overwrites():
            raise Refusal(412, f"{self._remote.host} has the file already (HEAD: {before}), and Overwrite is F.")
        try:
            node, seen = self._sent()
            self._verify(node, seen)
        except BaseException:
            if before == 404 and self.done:
                self._clean()
            raise

    def _sent(self) -> tuple[Node, dict[str, str]]:
        spot, digests = self._asked.spot, self._asked.element.digests
        node, file = self._asked.tree().open(spot.path)
        with file:
            seen, begun = digests.known(spot.storage, node), _Counted(file, self)
            if seen or self._verifies is False:
                self._remote.put(begun, node.size)
            else:
                with Hashed(begun, size=node.size, what=f"'{spot.place}'") as stream:
                    self._remote.put(stream, node.size)
                    seen = dict(stream.seen().digests)
                digests.remember(spot.storage, node, seen)
        return node, seen

    def cancel(self) -> None:
        """End it."""
        self._remote.cancel()

    def _verify(self, node: Node, seen: dict[str, str]) -> None:
        told = Told(0) if self._verifies is False else self._remote.head()
        if told.status != 200:
            if self._verifies:
                raise StoreUnavailable(f"{self._remote.host} answers {told.status} when asked for what it has now.")
            return
        if told.size is not None and told.size != node.size:
            raise ResultCorrupt(f"{self._remote.host} has {told.size} bytes of {node.size}.")
        common = [name for name in told.digests if name in seen]
        if self._verifies and not common:
            raise StoreUnavailable(f"{self._remote.host} tells no digest that is known here, and one is required.")
        for name in common:
            if told.digests[name] != seen[name]:
                message = f"The {name} digest at {self._remote.host} is {told.digests[name]}, not {seen[name]}."
                raise ResultCorrupt(message)

    def _clean(self) -> None:
        with contextlib.suppress(GemelError, Broken):
            self._remote.again().delete()


class _Counted:
    """A stream that tells a transfer how much has passed."""

    def __init__(self, stream: Readable, transfer: Pull | Push) -> None:
        self._stream, self._transfer = stream, transfer

    def read(self, size: int = -1, /) -> bytes:
        piece = self._stream.read(size)
        self._transfer.done += len(piece)
        return piece


def copied(asked: Asked, to: Spot) -> bool:
    """Return whether something was replaced by a copy within the element."""
    asked.grant.require(asked.spot, "DOWNLOAD")
    asked.grant.require(to, "UPLOAD")
    tree, target = asked.tree(), asked.tree(to.storage)
    there, node = check_destination(asked, target, to), asked.node()
    depth = asked.headers.get("depth", "infinity").strip().lower()
    if depth not in ("0", "infinity"):
        raise Refusal(400, "Depth is 0 or infinity for COPY.")
    if there and (there.folder or node.folder):
        target.remove(to.path)
    _copy(asked, (tree, node), (target, to), depth == "infinity")
    return there is not None


def _copy(asked: Asked, source: tuple[Tree, Node], target: tuple[Tree, Spot], deep: bool) -> None:
    (tree, node), (onto, to) = source, target
    if not node.folder:
        _, file = tree.open(node.path)
        ending = Stoppable(file, asked.stopping)
        with file, asked.element.commit(to.storage, to.path, ending, lambda: None) as stream:
            onto.write(to.path, stream, node.size)
        return
    onto.make_folder(to.path)
    for child in list(tree.children(node.path)) if deep else []:
        name = child.path.rpartition("/")[2]
        _copy(asked, (tree, child), (onto, Spot(to.storage, f"{to.path}/{name}")), deep)


def _spoken(sizes: set[int | None]) -> str:
    return " and ".join(sorted(str(size) for size in sizes))
