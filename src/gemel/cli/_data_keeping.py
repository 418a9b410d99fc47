"""gemel data storages, tokens, rules, watch, keep, reclaim: where data lie, and how they are kept."""

from __future__ import annotations

from typing import Any

import click

from gemel.base.sizes import parse_size, spoken_size
from gemel.cli._data_speech import Document, Teller, assigned, epilog, spoken, told
from gemel.cli._open import opened
from gemel.cli._root import Session
from gemel.cli._speech import emit, err, json_option, out, table

_NONE = "none"
_OPEN = ("queued", "running")
_site = click.option("--site", help="Of the provider that runs it; none to take it away.")
_tag = click.option("--tag", "tags", multiple=True, help="A word that rules choose it by; may be repeated.")
_quota = click.option("--quota", help="What datasets may take there, such as '2 TB'; none for no limit.")


def _options(items: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in items.items())


# Storages


@click.group(invoke_without_command=True, epilog=epilog("gemel data storages add archive local folder=/mnt/archive"))
@json_option
@click.pass_context
def storages(ctx: click.Context, as_json: bool) -> None:
    """List storages; add, change or remove one."""
    if ctx.invoked_subcommand is None:
        _list_storages(ctx.obj, as_json)


@storages.command("list", epilog=epilog("gemel data storages list --json"))
@json_option
@click.pass_obj
def list_storages(session: Session, as_json: bool) -> None:
    """List storages: where they stand, and how full they are."""
    _list_storages(session, as_json)


def _list_storages(session: Session, as_json: bool) -> None:
    with opened(session) as client:
        found = client.data.storages.list()
    if as_json:
        emit({"storages": found})
        return
    rows = [
        (
            item["name"],
            item["kind"],
            item["site"],
            " ".join(item["tags"]),
            spoken_size(item["used"]),
            spoken(item["quota"]),
            _options(item["options"]),
        )
        for item in found
    ]
    table(("storage", "kind", "site", "tags", "used", "quota", "options"), rows)


@storages.command(epilog=epilog("gemel data storages add dav webdav url=https://… token=env:DAV_TOKEN --site kiel"))
@click.argument("name")
@click.argument("kind")
@click.argument("options", metavar="[KEY=VALUE]...", nargs=-1)
@_site
@_tag
@_quota
@json_option
@click.pass_obj
def add(session: Session, /, name: str, kind: str, options: tuple[str, ...], as_json: bool, **where: Any) -> None:
    """Declare the storage NAME of a KIND (gemel plugins storages); secrets as env:VARIABLE or file:PATH."""
    given, standing = assigned(options, "storage"), _standing(where)
    with opened(session) as client:
        document = client.data.transport.keeping.add_storage(name, kind, given, **standing)
    told(as_json, document, f"Storage '{name}' ({kind}) can be used.")


@storages.command("set", epilog=epilog("gemel data storages set archive --site kiel --tag tape --quota '2 TB'"))
@click.argument("name")
@_site
@_tag
@_quota
@json_option
@click.pass_obj
def set_storage(session: Session, /, name: str, as_json: bool, **where: Any) -> None:
    """Say where the storage NAME stands; what is not named stays as it is."""
    with opened(session) as client:
        item = client.data.storages.set(name, **_standing(where))
    tags, quota = " ".join(item["tags"]) or _NONE, spoken(item["quota"]) or _NONE
    told(as_json, item, f"Storage '{name}': site {item['site'] or _NONE}, tags {tags}, quota {quota}.")


@storages.command("remove", epilog=epilog("gemel data storages remove archive"))
@click.argument("name")
@json_option
@click.pass_obj
def remove_storage(session: Session, name: str, as_json: bool) -> None:
    """Forget the storage NAME, on which no replica lies; its files stay."""
    with opened(session) as client:
        client.data.storages.remove(name)
    told(as_json, {"removed": name}, f"Forgot storage '{name}'; its files stay.")


def _standing(where: dict[str, Any]) -> Document:
    found: Document = {}
    if where["site"]:
        found["site"] = None if where["site"] == _NONE else where["site"]
    if where["tags"]:
        found["tags"] = [tag for tag in where["tags"] if tag != _NONE]
    if where["quota"]:
        found["quota"] = None if where["quota"] == _NONE else parse_size(where["quota"])
    return found


# Tokens


@click.group(invoke_without_command=True, epilog=epilog("gemel data tokens add kiel static token=env:KIEL_TOKEN"))
@json_option
@click.pass_context
def tokens(ctx: click.Context, as_json: bool) -> None:
    """List token profiles; add, remove or try one."""
    if ctx.invoked_subcommand is None:
        _list_tokens(ctx.obj, as_json)


@tokens.command("list", epilog=epilog("gemel data tokens list --json"))
@json_option
@click.pass_obj
def list_tokens(session: Session, as_json: bool) -> None:
    """List token profiles; secrets are shown as references."""
    _list_tokens(session, as_json)


def _list_tokens(session: Session, as_json: bool) -> None:
    with opened(session) as client:
        found = client.data.tokens.list()
    if as_json:
        emit({"tokens": found})
    else:
        table(
            ("profile", "kind", "options"), [(item["name"], item["kind"], _options(item["options"])) for item in found]
        )


@tokens.command("add", epilog=epilog("gemel data tokens add kiel static token=env:KIEL_TOKEN"))
@click.argument("name")
@click.argument("kind")
@click.argument("options", metavar="[KEY=VALUE]...", nargs=-1)
@json_option
@click.pass_obj
def add_token(session: Session, name: str, kind: str, options: tuple[str, ...], as_json: bool) -> None:
    """Declare the profile NAME of a KIND (static, macaroon, client_credentials, refresh, exchange).

    Secrets are given as env:VARIABLE or file:PATH. A storage uses it with profile=NAME.
    """
    with opened(session) as client:
        document = client.data.transport.keeping.add_token(name, kind, assigned(options, "token profile"))
    told(as_json, document, f"Token profile '{name}' ({kind}) can be used: profile={name}")


@tokens.command("remove", epilog=epilog("gemel data tokens remove kiel"))
@click.argument("name")
@json_option
@click.pass_obj
def remove_token(session: Session, name: str, as_json: bool) -> None:
    """Forget the profile NAME, which nothing uses."""
    with opened(session) as client:
        client.data.tokens.remove(name)
    told(as_json, {"removed": name}, f"Forgot token profile '{name}'.")


@tokens.command("try", epilog=epilog("gemel data tokens try archive write 2019/rain.nc"))
@click.argument("storage")
@click.argument("operation", type=click.Choice(["read", "write", "delete"]))
@click.argument("path", default="")
@json_option
@click.pass_obj
def try_token(session: Session, storage: str, operation: str, path: str, as_json: bool) -> None:
    """Ask for a token for OPERATION on PATH of STORAGE; the token itself is not shown."""
    with opened(session) as client:
        item = client.data.tokens.trial(storage, operation, path)
    until = f", good until {item['expires']}" if item["expires"] else "; it does not say how long it is good"
    told(as_json, item, f"Profile '{item['profile']}' gives a token to {operation} '{path or '/'}'{until}.")


# Rules


@click.group(invoke_without_command=True, epilog=epilog("gemel data rules add fulda:daily --copies 2 --near kiel"))
@json_option
@click.pass_context
def rules(ctx: click.Context, as_json: bool) -> None:
    """List rules: how many copies there are to be, and where; add or remove one."""
    if ctx.invoked_subcommand is None:
        _list_rules(ctx.obj, None, as_json)


@rules.command("list", epilog=epilog("gemel data rules list fulda:daily"))
@click.argument("name", metavar="[SCOPE:NAME]", required=False)
@json_option
@click.pass_obj
def list_rules(session: Session, name: str | None, as_json: bool) -> None:
    """List rules (of SCOPE:NAME) and how each stands."""
    _list_rules(session, name, as_json)


def _list_rules(session: Session, name: str | None, as_json: bool) -> None:
    with opened(session) as client:
        found = client.data.rules.list(name)
    if as_json:
        emit({"rules": found})
        return
    rows = [(i["id"], i["name"], i["copies"], _where(i), i["expires"], i["state"], i["reason"] or "") for i in found]
    table(("rule", "name", "copies", "where", "until", "state", "reason"), rows)


def _where(rule: Document) -> str:
    words = [f"near {site}" for site in rule["near"]] + [f"tag {tag}" for tag in rule["tags"]]
    words += [f"on {' or '.join(rule['storages'])}"] if rule["storages"] else []
    return ", ".join(words + (["apart"] if rule["apart"] else [])) or "anywhere"


@rules.command("add", epilog=epilog("gemel data rules add fulda:daily --copies 2 --near kiel --apart"))
@click.argument("name", metavar="SCOPE:NAME")
@click.option("--copies", type=click.IntRange(1), default=1, show_default=True, help="How many.")
@click.option("--near", multiple=True, metavar="SITE", help="One of them at this site; may be repeated.")
@click.option("--tag", "tags", multiple=True, help="Only on storages that have it; may be repeated.")
@click.option("--on", "storages", multiple=True, metavar="STORAGE", help="Only on these; may be repeated.")
@click.option("--apart", is_flag=True, help="No two at one site.")
@click.option("--lifetime", help="How long the rule holds, such as '30 d'; default for ever.")
@click.option("--priority", type=click.IntRange(-1000, 1000), default=0, help="Of the transfers that it needs.")
@json_option
@click.pass_obj
def add_rule(session: Session, /, name: str, copies: int, as_json: bool, **places: Any) -> None:
    """Have so many copies of SCOPE:NAME, and of what is in it later, in such places.

    An engine that serves keeps to it by itself; gemel data keep does so once.
    """
    with opened(session) as client:
        rule = client.data.rules.add(name, copies, **places)
    told(as_json, rule, f"Rule {rule['id']}: {copies} copies of '{rule['name']}', {_where(rule)}.")


@rules.command("remove", epilog=epilog("gemel data rules remove rule-01jd…"))
@click.argument("id")
@json_option
@click.pass_obj
def remove_rule(session: Session, id: str, as_json: bool) -> None:
    """Forget the rule ID; the copies that it made stay until their place is needed."""
    with opened(session) as client:
        client.data.rules.remove(id)
    told(as_json, {"removed": id}, f"Forgot rule {id}; its copies stay until their place is needed.")


# Care


@click.command(epilog=epilog("gemel data keep --wait"))
@click.option("--wait", is_flag=True, help="See the transfers through that rules ask for.")
@json_option
@click.pass_obj
def keep(session: Session, wait: bool, as_json: bool) -> None:
    """Keep the lake once, now: lifetimes, rules, lost copies, quotas, and copies looked at and read."""
    with opened(session) as client:
        done = client.data.keep()
        asked = [item for state in _OPEN if wait for item in client.data.transfers(state, limit=1000)]
        ids = [item["id"] for item in asked if item["cause"] in done["rules"]]
        if ids:
            with Teller(f"moving {len(ids)} files") as teller:
                client.data.transport.moving.work(ids, teller)
            done["rules"] = client.data.keep()["rules"]
    if as_json:
        emit(done)
        return
    for name in done["expired"]:
        out.print(f"Removed '{name}', whose lifetime is over.", markup=False)
    if done["requested"]:
        out.print(f"{done['requested']} transfers are wanted by rules: gemel data transfers")
    for item in done["reclaimed"]:
        out.print(f"Dropped '{item['name']}' from '{item['storage']}' ({spoken_size(item['size'])}).", markup=False)
    for item in done["findings"]:
        err.print(f"'{item['name']}' on '{item['storage']}': {item['outcome']}; {item['reason']}", markup=False)
    states = [*done["rules"].values()]
    kept = ", ".join(f"{states.count(state)} {state}" for state in ("ok", "copying", "stuck") if state in states)
    out.print(f"Rules: {kept or _NONE}.")


@click.command(epilog=epilog("gemel data reclaim archive --bytes '10 GB'"))
@click.argument("storage")
@click.option("--bytes", "wanted", help="Until so much is free, such as '10 GB'; default all that nobody needs.")
@json_option
@click.pass_obj
def reclaim(session: Session, storage: str, wanted: str | None, as_json: bool) -> None:
    """Drop copies from STORAGE that no rule needs and that are elsewhere, those unused for longest first."""
    size = None if wanted is None else parse_size(wanted)
    with opened(session) as client:
        found = client.data.storages.reclaim(storage, size)
    if as_json:
        emit({"reclaimed": found})
        return
    for item in found:
        out.print(f"Dropped '{item['name']}' ({spoken_size(item['size'])}).", markup=False)
    out.print(f"{len(found)} copies dropped, {spoken_size(sum(item['size'] for item in found))} free.")


# Watches


@click.group(invoke_without_command=True, epilog=epilog("gemel data watch add inbox 2026 --scope fulda"))
@json_option
@click.pass_context
def watch(ctx: click.Context, as_json: bool) -> None:
    """List watched folders and buckets; add, remove or scan them."""
    if ctx.invoked_subcommand is None:
        _list_watches(ctx.obj, as_json)


@watch.command("list", epilog=epilog("gemel data watch list --json"))
@json_option
@click.pass_obj
def list_watches(session: Session, as_json: bool) -> None:
    """List watched folders and buckets, and why one could not be looked at."""
    _list_watches(session, as_json)


def _list_watches(session: Session, as_json: bool) -> None:
    with opened(session) as client:
        found = client.data.watches.list()
    if as_json:
        emit({"watches": found})
        return
    keys = ("id", "storage", "prefix", "scope", "pattern", "into", "scanned", "problem")
    table(
        ("watch", "storage", "folder", "scope", "pattern", "into", "last look", "problem"),
        [[item[key] if item[key] is not None else "" for key in keys] for item in found],
    )


@watch.command("add", epilog=epilog("gemel data watch add inbox 2026 --scope fulda --pattern '*.nc' --into fulda:all"))
@click.argument("storage")
@click.argument("folder", default="")
@click.option("--scope", required=True, help="Of the names that files get.")
@click.option("--pattern", help="Of the names that count, such as '*.nc'.")
@click.option("--into", metavar="SCOPE:NAME", help="A dataset that files are added to.")
@click.option("--licence", help="Of what arrives, as SPDX names it.")
@json_option
@click.pass_obj
def add_watch(session: Session, /, storage: str, folder: str, scope: str, as_json: bool, **how: Any) -> None:
    """Give names to files that arrive in FOLDER of STORAGE, once each; an engine that serves looks by itself."""
    with opened(session) as client:
        item = client.data.watches.add(storage, scope, folder, **how)
    told(as_json, item, f"Watch {item['id']}: files in '{item['prefix']}' of '{storage}' are called {scope}:…")


@watch.command("remove", epilog=epilog("gemel data watch remove watch-01jd…"))
@click.argument("id")
@json_option
@click.pass_obj
def remove_watch(session: Session, id: str, as_json: bool) -> None:
    """Forget the watch ID; what it registered stays."""
    with opened(session) as client:
        client.data.watches.remove(id)
    told(as_json, {"removed": id}, f"Forgot watch {id}; what it registered stays.")


@watch.command("scan", epilog=epilog("gemel data watch scan"))
@json_option
@click.pass_obj
def scan(session: Session, as_json: bool) -> None:
    """Look at all watched places now."""
    with opened(session) as client:
        names = client.data.watches.scan()
        troubled = [item for item in client.data.watches.list() if item["problem"]]
    for item in troubled:
        err.print(f"'{item['prefix']}' of '{item['storage']}' cannot be looked at: {item['problem']}", markup=False)
    told(as_json, {"registered": names}, "\n".join([*names, f"{len(names)} files have got names."]))
