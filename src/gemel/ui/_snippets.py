"""The same question in Python, curl and the terminal, so that nobody has to click twice."""

from __future__ import annotations

from dataclasses import dataclass

from gemel.ui._documents import Document


@dataclass(frozen=True)
class Snippet:
    """One way to ask: `before` and `after` enclose the arguments, which `style` says how to spell.

    `web/src/copy.ts` fills the arguments from the sliders; `origin` stands for the address of the engine.
    """

    language: str
    style: str
    before: str
    arguments: str
    after: str


def snippets(twin: Document) -> tuple[Snippet, ...]:
    """Return how to ask this twin what-if from elsewhere, at its default parameters."""
    name = twin["id"]
    python = f'import gemel\n\nengine = gemel.connect("{{origin}}")\ntwin = engine.twins["{name}"]\nrun = twin.whatif('
    curl = (
        f"curl -X POST \\\n  {{origin}}/api/v1/twins/{name}/whatif?wait=10 \\\n"
        '  -H "Authorization: Bearer $GEMEL_TOKEN" \\\n  -H "Content-Type: application/json" \\\n  -d \''
    )
    return (
        Snippet("Python", "kwargs", python, "", ").watch()\nprint(run.result.to_xarray())"),
        Snippet("curl", "json", curl, '{"parameters":{}}', "'"),
        Snippet("Terminal", "flags", f"gemel whatif {name}", "", ""),
    )
