"""Run by the environment of frost-sta-client: asks the service as its users do, and prints what it found."""

import json
import sys

import frost_sta_client as fsc
import requests
from frost_sta_client.service.auth_handler import AuthHandler

url, token = sys.argv[1:]


class Bearer(requests.auth.AuthBase):
    """The client knows user and password alone; what it adds to requests can be anything."""

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {token}"
        return request


class Ours(AuthHandler):
    """Adds the token."""

    def add_auth_header(self):
        return Bearer()


service = fsc.SensorThingsService(url, auth_handler=Ours())
told = {"things": {thing.id: thing.name for thing in service.things().query().orderby("name", "ASC").list()}}
pond = service.things().find("pond")
told["pond"] = [pond.name, pond.properties["version"]]
streams = pond.get_datastreams().query().expand("Sensor,ObservedProperty").list()
told["streams"] = {
    stream.id: [stream.unit_of_measurement.symbol, stream.sensor.name, stream.observed_property.name]
    for stream in streams
}
told["places"] = [place.location["coordinates"] for place in pond.get_locations().query().list()]
level = service.datastreams().find("pond:gauge:level")
query = level.get_observations().query()
told["all"] = [[item.phenomenon_time, item.result] for item in query.orderby("phenomenonTime", "ASC").top(2).list()]
query = level.get_observations().query().filter("result gt 2 and phenomenonTime ge 2024-01-01T00:02:00Z")
page = query.orderby("result", "DESC").count().top(1).list()
told["count"], told["high"] = page.count, [item.result for item in page]
told["one"] = service.observations().find(page.get(0).id).result
told["expanded"] = [
    item.datastream.thing.id
    for item in service.observations().query().expand("Datastream/Thing").top(3).list().entities
]
try:
    service.create(fsc.Thing(name="new", description="not possible"))
except requests.exceptions.HTTPError as error:
    told["created"] = [error.response.status_code, error.response.json()["error"]["message"]]
print(json.dumps(told))
