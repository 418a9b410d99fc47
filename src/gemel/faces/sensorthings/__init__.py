"""OGC SensorThings API 1.1 at `/sensorthings/v1.1`: twins as Things, sources as Sensors, the event log as Observations; read only."""

from gemel.faces.sensorthings._face import SensorThingsFace

__all__ = ["SensorThingsFace", "face"]

face = SensorThingsFace()
