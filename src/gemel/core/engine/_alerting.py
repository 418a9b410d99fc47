"""The outlets in `[alerts.NAME]` of live twins: alerts go out as long as the engine runs, and are taken up by the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from gemel.base.clock import iso
from gemel.core.engine._telling import stream_of
from gemel.core.stream import EventLog
from gemel.core.stream.alerts import ALERT, About, OutletContext, Outlets, is_alert
from gemel.core.twin import Twin

_BACK = 200  # events of a twin among which the alerts that still stand are looked for


class Alerting:
    """Sends out the alerts of live twins.

    Args:
        log: Where alerts are told.
        folder: What relative paths of outlets are relative to.
    """

    def __init__(self, log: EventLog, folder: Path) -> None:
        self._outlets, self._folder = Outlets(log), folder

    def add(self, twin: Twin) -> None:
        """Open the outlets of a twin that goes live; what it tells from now on is sent.

        Raises:
            NotFound: There is no such kind of outlet.
            InvalidInput: The options of an outlet make no sense.
        """
        about = about_of(twin)
        for name, spec in twin.manifest.alerts.items():
            context = OutletContext(name, spec.kind, spec.options, about, self._folder)
            self._outlets.add(stream_of(twin.id), context)

    def start(self) -> None:
        """Begin to send."""
        self._outlets.start()

    def stop(self) -> None:
        """Stop sending; what was not handed over is sent by the next engine."""
        self._outlets.stop()

    @property
    def problems(self) -> dict[str, Mapping[str, Any]]:
        """Return what is wrong at present, by ``twin/outlet``."""
        return self._outlets.problems

    def document(self) -> list[dict[str, Any]]:
        """Return how each outlet goes."""
        return self._outlets.documents()


def about_of(twin: Twin) -> About:
    """Return what messages say of a twin. One all of whose sources are played back is an exercise."""
    manifest = twin.manifest
    table, physical = manifest.twin, manifest.physical
    played = all(source.kind == "replay" for source in manifest.sources.values())
    return About(
        twin.id,
        table.title or twin.id,
        physical.place,
        physical.latitude,
        physical.longitude,
        table.contact,
        exercise=played,
    )


def ended_alerts(
    log: EventLog, twin: str, run: str, alerts: Iterable[Mapping[str, Any]], valid: datetime
) -> list[dict[str, Any]]:
    """Return what to tell, as ``gemel.twin.alert-over``, of dangers that a run no longer sees: one for each event and place.

    Asked again for the same run it says the same, so that what is told under a name of its own is told once.

    Args:
        log: Where alerts are told.
        twin: Which.
        run: Its newest run.
        alerts: What that run warns of.
        valid: Instant of the state that it made.
    """
    present = {(alert.get("event"), alert.get("place")) for alert in alerts}
    newest = {}
    for event in log.last(stream_of(twin), _BACK):
        if is_alert(event) and event.data.get("run") != run:
            newest[event.data.get("event"), event.data.get("place")] = event
    over = [event for about, event in newest.items() if event.type == ALERT and about not in present]
    kept = ("event", "place", "level", "threshold", "unit")
    return [
        {name: event.data[name] for name in kept if name in event.data} | {"issued": iso(valid), "run": run}
        for event in over
    ]
