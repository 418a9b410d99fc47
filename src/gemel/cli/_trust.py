"""gemel check, compare, explain."""

from __future__ import annotations

from typing import Any

import click

from gemel.cli._open import opened
from gemel.cli._root import EXIT_CODES, Session
from gemel.cli._speech import emit, err, json_option, out, spell, table


@click.command(epilog="Example:  gemel check earlywarning --json")
@click.argument("twin")
@json_option
@click.pass_obj
def check(session: Session, twin: str, as_json: bool) -> None:
    """Make all checks of TWIN; exit code 3 when one does not pass."""
    with opened(session) as client:
        if not as_json:
            err.print(f"[dim]Checking {twin}; graphs that changed are run, which can take a while …[/]")
        report = client.twins[twin].check()
    if as_json:
        emit(report)
    else:
        print_report(report)
    if not report["passed"]:
        raise SystemExit(EXIT_CODES["check failed"])


def print_report(report: dict[str, Any]) -> None:
    """Print a report as a table with the evidence of what failed."""
    rows = []
    for item in report["checks"]:
        bar = f"{item['comparison']} {spell(item['bar'])}"
        rows.append(
            ("✓" if item["passed"] else "✗", item["title"] or item["id"], item["value"], bar, item["unit"] or "")
        )
    table(("", "check", "value", "bar", "unit"), rows)
    for item in report["checks"]:
        if not item["passed"] and item["evidence"]:
            out.print(f"[red]✗ {item['id']}[/]: {item['evidence']}")
    verdict = "[green]passed[/]" if report["passed"] else "[red]not passed[/]"
    out.print(f"{report['twin']} {report['version']}: {verdict}")


@click.command(epilog="Example:  gemel compare run-01jd… run-01je…")
@click.argument("first")
@click.argument("second")
@json_option
@click.pass_obj
def compare(session: Session, first: str, second: str, as_json: bool) -> None:
    """Name the input, code, model or site that differs between two runs."""
    with opened(session) as client:
        found = client.compare(first, second)
    if as_json:
        emit(found)
        return
    if found["same"]:
        out.print("The two runs were made from the same things.")
        return
    table(("step", "what", "first", "second"), [_difference(item) for item in found["differences"]])
    if found["consequences"]:
        out.print(f"In consequence these steps had other inputs: {', '.join(found['consequences'])}.")


def _difference(item: dict[str, Any]) -> tuple[str, str, str, str]:
    def short(value: Any) -> str:
        text = spell(value)
        return text if len(text) <= 40 else text[:37] + "…"

    return item["step"] or "(run)", item["meaning"], short(item["first"]), short(item["second"])


@click.command(epilog="Example:  gemel explain run-01jd…")
@click.argument("run_id")
@json_option
@click.pass_obj
def explain(session: Session, run_id: str, as_json: bool) -> None:
    """Show what a run's numbers were made from, and where the doubt in them comes from."""
    with opened(session) as client:
        found = client.transport.explain(run_id)
    if as_json:
        emit(found)
        return
    environment = found["environment"]
    out.print(f"gemel {environment['gemel']}, Python {environment['python']}, site {environment['site']}")
    rows = [
        (s["step"], s["process"], s["version"], (s["key"] or "")[:12], _inputs(s["arguments"])) for s in found["steps"]
    ]
    table(("step", "process", "version", "key", "made from"), rows)
    if found["doubt"]:
        out.print("\nWhere the doubt comes from (share of the forecast variance):")
        for item in found["doubt"]["items"]:
            out.print(f"  {item['origin']:<12} {item['share']:>5.0%} {'█' * round(item['share'] * 40)}")


def _inputs(arguments: dict[str, Any]) -> str:
    parts = []
    for name, value in arguments.items():
        if isinstance(value, dict) and set(value) <= {"input", "file"}:
            kind, digest = next(iter(value.items()))
            parts.append(f"{name}={kind} {digest[:8]}")
        else:
            parts.append(f"{name}={spell(value)}")
    return ", ".join(parts)
