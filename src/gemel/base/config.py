"""Configuration with origins: defaults < project `gemel.toml` < user file < `GEMEL_A__B` < `--set a.b=c`.

Values are frozen dataclasses; an unknown key is an error with a suggestion, and every value remembers where it came from.
"""

from __future__ import annotations

import os
import tomllib
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import platformdirs

from gemel.base.errors import ConfigInvalid, did_you_mean
from gemel.base.sizes import parse_size

PROJECT_FILE = "gemel.toml"


@dataclass(frozen=True)
class StoreSettings:
    """Where journal and results are kept."""

    url: str = ""  # empty: SQLite file in the home folder
    inline_limit: int = 65536  # results up to this many bytes lie in the journal itself


@dataclass(frozen=True)
class RunSettings:
    """How runs are executed."""

    workers: int = 0  # 0: one per processor, four at least
    lease: str = "10 s"  # an engine silent for so long is taken for dead
    keep_updates: int = 100  # so many live updates keep all their results; older ones keep state and record
    synchronous: str = "5 min"  # a result that somebody waits for must be there by then
    memory: str = ""  # what the steps of one run may use together, such as "4 GB"; empty: half of what the machine has

    @property
    def memory_bytes(self) -> int:
        """Return the memory that the steps of one run may use together, in bytes."""
        if self.memory:
            return parse_size(self.memory)
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


@dataclass(frozen=True)
class ServerSettings:
    """The address of the engine's own server."""

    host: str = "127.0.0.1"
    port: int = 8400
    allowed_hosts: tuple[str, ...] = ()  # names besides loopback under which pages may be asked for
    upload: str = "2 GB"  # the largest file that may be uploaded
    links: str = "1 d"  # how long a signed address of a result can be read
    oidc: tuple[str, ...] = ()  # identity providers that are listed to clients, each as ID=ISSUER


@dataclass(frozen=True)
class TwinSettings:
    """Where twins are looked for and published to."""

    folders: tuple[str, ...] = ()
    repository: str = ""  # empty: folder `repository` in the home folder


@dataclass(frozen=True)
class SandboxSettings:
    """What foreign code (user-defined functions, CWL tools) may do."""

    required: bool = True  # refuse foreign code where bubblewrap cannot confine it
    time: str = "5 min"  # for one call
    memory: str = "4 GB"  # of address space


@dataclass(frozen=True)
class LakeSettings:
    """How the lake is kept."""

    transfers: int = 2  # files that are moved at a time
    attempts: int = 8  # a transfer is tried so often
    retry: str = "2 s"  # before the second attempt; doubled each time, five minutes at most
    lease: str = "60 s"  # a worker silent for so long is taken for dead
    pace: str = "10 s"  # between looks at rules, lifetimes, quotas and watched folders
    patrol: str = "1 h"  # every replica's presence and size are looked at once in so long
    scrub: str = "30 d"  # every replica is read whole once in so long
    scrub_rate: str = "50 MB"  # so much is read in a second at most while scrubbing
    cache: str = "10 GB"  # local copies of opened files together


@dataclass(frozen=True)
class LearnSettings:
    """How trainings are told of."""

    tracking: str = (
        ""  # MLflow that trainings and promotions are told to: "sqlite" (in the home folder), an address, or none
    )


@dataclass(frozen=True)
class Settings:
    """All settings; `origins` maps each dotted name to the place it was set."""

    home: Path
    store: StoreSettings = field(default_factory=StoreSettings)
    runs: RunSettings = field(default_factory=RunSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    twins: TwinSettings = field(default_factory=TwinSettings)
    sandbox: SandboxSettings = field(default_factory=SandboxSettings)
    lake: LakeSettings = field(default_factory=LakeSettings)
    learn: LearnSettings = field(default_factory=LearnSettings)
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def store_url(self) -> str:
        """Return the SQLAlchemy URL of the journal."""
        return secret(self.store.url) or f"sqlite:///{self.home / 'gemel.db'}"

    @property
    def repository(self) -> Path:
        """Return the folder that `gemel publish` writes to."""
        return Path(self.twins.repository or self.home / "repository").expanduser()

    def items(self) -> Iterator[tuple[str, Any, str]]:
        """Yield (dotted name, value, origin) of every setting."""
        yield "home", str(self.home), self.origins.get("home", "default")
        for name, section in _sections().items():
            for item in fields(section):
                dotted = f"{name}.{item.name}"
                yield dotted, getattr(getattr(self, name), item.name), self.origins.get(dotted, "default")


def load_settings(
    *,
    assignments: Sequence[str] = (),
    home: Path | None = None,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings in force.

    Args:
        assignments: `--set` values like ``server.port=8500``; the last word.
        home: Folder for all the engine stores; default `GEMEL_HOME`, else the user's data folder.
        folder: Where `gemel.toml` is looked for; default the current folder.
        environ: Environment to read; default the process's own.

    Raises:
        ConfigInvalid: A file cannot be read, a key is unknown or a value has the wrong type.
    """
    env = os.environ if environ is None else environ
    values: dict[str, tuple[Any, str]] = {}
    for path in ((folder or Path.cwd()) / PROJECT_FILE, Path(platformdirs.user_config_dir("gemel")) / "config.toml"):
        values.update(_from_file(path))
    values.update(_from_environment(env))
    values.update(_from_assignments(assignments))
    root, origin = (home, "argument") if home else _home(env)
    return _build(root.expanduser().absolute(), origin, values)


def secret(reference: str) -> str:
    """Return the secret that a ``env:NAME`` or ``file:PATH`` reference points to; other text is returned as it is.

    Raises:
        ConfigInvalid: The variable or the file is not there.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        if name not in os.environ:
            raise ConfigInvalid(f"The variable {name} named by '{reference}' is not set.", hint=f"export {name}=…")
        return os.environ[name]
    if kind == "file":
        try:
            return Path(name).expanduser().read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigInvalid(f"The file named by '{reference}' cannot be read: {error.strerror}.") from error
    return reference


def _home(env: Mapping[str, str]) -> tuple[Path, str]:
    if env.get("GEMEL_HOME"):
        return Path(env["GEMEL_HOME"]), "GEMEL_HOME"
    return Path(platformdirs.user_data_dir("gemel")), "default"


def _sections() -> dict[str, Any]:
    hints = typing.get_type_hints(Settings)
    return {name: kind for name, kind in hints.items() if is_dataclass(kind)}


def _known() -> dict[str, Any]:
    return {
        f"{name}.{key}": hint
        for name, section in _sections().items()
        for key, hint in typing.get_type_hints(section).items()
    }


def _from_file(path: Path) -> dict[str, tuple[Any, str]]:
    if not path.is_file():
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid(f"{path} cannot be read: {error}.", hint="Check the TOML at the line named.") from error
    return {_checked(name, str(path)): (value, str(path)) for name, value in _flatten(document)}


def _flatten(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, content in document.items():
        if isinstance(content, dict):
            yield from ((f"{section}.{key}", value) for key, value in content.items())
        else:
            yield section, content


def _from_environment(env: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    found = {}
    for variable, text in env.items():
        if variable.startswith("GEMEL_") and "__" in variable:
            name = _checked(variable.removeprefix("GEMEL_").lower().replace("__", "."), variable)
            found[name] = (_from_text(text, _known()[name], variable), variable)
    return found


def _from_assignments(assignments: Sequence[str]) -> dict[str, tuple[Any, str]]:
    found = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigInvalid(f"'{assignment}' is not an assignment.", hint="Write --set name=value.")
        name = _checked(name.strip(), "--set")
        found[name] = (_from_text(text.strip(), _known()[name], "--set"), "--set")
    return found


def _checked(name: str, origin: str) -> str:
    known = _known()
    if name not in known:
        hint = did_you_mean(name, known) or "gemel config show"
        raise ConfigInvalid(f"Unknown setting '{name}' in {origin}.", hint=hint, name=name, origin=origin)
    return name


def _from_text(text: str, kind: Any, origin: str) -> Any:
    if kind is int:
        try:
            return int(text)
        except ValueError as error:
            raise ConfigInvalid(f"'{text}' in {origin} is not a whole number.") from error
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _typed(name: str, value: Any, kind: Any, origin: str) -> Any:
    if kind == tuple[str, ...] and isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
        return tuple(value)
    if kind in (int, str) and isinstance(value, kind) and not isinstance(value, bool):
        return value
    wanted = {int: "a whole number", str: "a text"}.get(kind, "a list of texts")
    raise ConfigInvalid(f"'{name}' in {origin} must be {wanted}, not {value!r}.", name=name, origin=origin)


def _build(home: Path, home_origin: str, values: Mapping[str, tuple[Any, str]]) -> Settings:
    known = _known()
    grouped: dict[str, dict[str, Any]] = {name: {} for name in _sections()}
    for dotted, (value, origin) in values.items():
        section, key = dotted.split(".", 1)
        grouped[section][key] = _typed(dotted, value, known[dotted], origin)
    origins = {"home": home_origin} | {name: origin for name, (_, origin) in values.items()}
    built = {name: kind(**grouped[name]) for name, kind in _sections().items()}
    return Settings(home=home, origins=origins, **built)
