"""Bodies and queries of the data routes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, Json, StringConstraints

#: No control characters: databases and file systems stumble over some of them.
Text = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")]
Names = Annotated[list[Text], Field(max_length=100_000)]
#: In an address: an id that gemel made, or a name that people gave.
Id = Annotated[str, Path(max_length=100, pattern=r"^[A-Za-z0-9._-]+$")]
Wait = Annotated[float, Query(ge=0, le=60, description="Seconds to wait for it.")]
_MOST_BYTES = 2**63 - 1
Bytes = Annotated[int, Field(ge=0, le=_MOST_BYTES)]


class Body(BaseModel):
    """What all bodies share: no member that is not known, and no number for a text."""

    model_config = ConfigDict(extra="forbid", strict=True)


class About(Body):
    """Facts of a dataset: metadata, licence (as SPDX names it), lifetime (such as '30 d'), a dataset to add it to."""

    metadata: dict[str, Any] = {}
    licence: Text | None = None
    lifetime: Text | None = None
    into: Text | None = None

    def facts(self) -> dict[str, Any]:
        """Return them as the service takes them."""
        return {name: getattr(self, name) for name in About.model_fields}


class Registration(About):
    """A file on a storage that is to have a name."""

    name: Text
    storage: Text
    path: Text


class FolderRegistration(About):
    """A folder of a storage whose files are to have names."""

    scope: Text
    folder: Text = ""


class Members(Body):
    """Members of a group."""

    members: Annotated[list[Text], Field(min_length=1, max_length=100_000)]
    kind: Literal["dataset", "container"] = "dataset"
    metadata: dict[str, Any] = {}
    licence: Text | None = None
    lifetime: Text | None = None


class Request(Body):
    """Files that are to have a replica on a storage; `only` moves them."""

    names: Annotated[list[Text], Field(min_length=1, max_length=100_000)]
    storage: Text
    only: bool = False
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0


class Verification(Body):
    """Files whose replicas are to be read; all when none is named."""

    names: Names = []
    repair: bool = True


class NewStorage(Body):
    """A storage: how it is reached, and where it stands; the quota in bytes."""

    name: Text
    kind: Text
    options: dict[Text, Text] = {}
    site: Text | None = None
    tags: list[Text] = []
    quota: Bytes | None = None


class Standing(Body):
    """Where a storage stands; what is left out stays, null is none."""

    site: Text | None = None
    tags: list[Text] = []
    quota: Bytes | None = None


class Reclaiming(Body):
    """How many bytes are wanted on a storage; null for all that nobody needs."""

    bytes: Bytes | None = None


class NewToken(Body):
    """A token profile; secrets by reference."""

    name: Text
    kind: Text
    options: dict[Text, Text] = {}


class Trial(Body):
    """What a token is to be had for."""

    storage: Text
    operation: Text
    path: Text = ""


class NewRule(Body):
    """How many copies there are to be, and where."""

    name: Text
    copies: Annotated[int, Field(ge=1, le=1000)]
    near: list[Text] = []
    tags: list[Text] = []
    storages: list[Text] = []
    apart: bool = False
    lifetime: Text | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0


class NewWatch(Body):
    """A folder or bucket whose files are to get names."""

    storage: Text
    folder: Text = ""
    scope: Text
    pattern: Text | None = None
    into: Text | None = None
    licence: Text | None = None


class Asked(BaseModel):
    """What all queries share: none that is not known."""

    model_config = ConfigDict(extra="forbid")


class Find(Asked):
    """Words that datasets fit; a page of them begins after a name."""

    q: Annotated[list[Text], Field(max_length=100)] = []
    after: Text | None = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000


class Upload(Asked):
    """Facts of a file that is sent: `metadata` as JSON, each `digest` as `algorithm:hexadecimal`."""

    storage: Text = "home"
    metadata: Json[dict[str, Any]] = {}
    licence: Text | None = None
    lifetime: Text | None = None
    into: Text | None = None
    digest: Annotated[list[Text], Field(max_length=10)] = []


class Description(Asked):
    """How a file is opened: `options` of its format as JSON; how many `rows` are shown."""

    options: Json[dict[str, Any]] = {}
    rows: Annotated[int, Field(ge=0, le=1000)] = 0


class Listing(Asked):
    """Which transfers are listed; with `wait`, as soon as all of them have ended."""

    state: Text | None = None
    name: Text | None = None
    id: Annotated[list[Text], Field(max_length=200)] = []
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    wait: Annotated[float, Field(ge=0, le=60)] = 0.0


class After(Asked):
    """Which changes are listed; with `wait`, as soon as there is one."""

    after: Annotated[int, Field(ge=0, le=_MOST_BYTES)] = 0
    name: Text | None = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000
    wait: Annotated[float, Field(ge=0, le=60)] = 0.0
