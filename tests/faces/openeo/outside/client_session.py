"""A session of the official Python client against a serving engine: argv is URL, token, folder; prints what it saw as JSON."""

import json
import sys
from pathlib import Path

import openeo
import requests

url, token, folder = sys.argv[1:]
seen = {}
connection = openeo.connect(url)
seen["version"] = connection.capabilities().api_version()
seen["missing"] = [
    path
    for path in ("/jobs", "/jobs/{job_id}/results", "/result", "/validation", "/services")
    if not connection.capabilities().supports_endpoint(path, method="POST")
]
seen["collections"] = [item["id"] for item in connection.list_collections()]
seen["dimensions"] = sorted(connection.describe_collection("CGLS_SSM_1KM")["cube:dimensions"])
seen["processes"] = len(connection.list_processes())
seen["formats"] = sorted(connection.list_file_formats()["output"])
seen["service_types"] = sorted(connection.list_service_types())

connection.authenticate_basic("anyone", token)
seen["me"] = connection.describe_account()["user_id"]

box = {"west": 16.2, "east": 16.5, "south": 48.1, "north": 48.25}
cube = connection.load_collection(
    "CGLS_SSM_1KM", spatial_extent=box, temporal_extent=["2020-01-01", "2020-07-01"], bands=["B01"]
)
mean = cube.mean_time()
seen["findings"] = connection.validate_process_graph(mean.save_result("NetCDF"))
nonsense = {"a": {"process_id": "nonsense", "arguments": {}, "result": True}}
seen["wrong"] = [found["code"] for found in connection.validate_process_graph(nonsense)]

direct = Path(folder) / "direct.nc"
mean.download(str(direct), format="NetCDF")
seen["direct"] = direct.stat().st_size

job = mean.save_result("NetCDF").create_job(title="Mean moisture")
seen["created"] = job.status()
seen["estimate"] = sorted(job.estimate())
job.start_and_wait(print=lambda *_: None, max_poll_interval=0.2, connection_retry_interval=1)
seen["status"] = job.status()
results = job.get_results()
metadata = results.get_metadata()
seen["item"] = {name: metadata.get(name) for name in ("type", "stac_version", "bbox")}
seen["downloaded"] = [path.name for path in results.download_files(folder) if path.suffix == ".nc"]
seen["same"] = [(Path(folder) / name).read_bytes() == direct.read_bytes() for name in seen["downloaded"]]
seen["logs"] = [entry.level for entry in job.logs()]

connection.save_user_defined_process(
    "doubled",
    {"m": {"process_id": "multiply", "arguments": {"x": {"from_parameter": "x"}, "y": 2}, "result": True}},
    parameters=[{"name": "x", "description": "A number.", "schema": {"type": "number"}}],
)
seen["stored"] = [item["id"] for item in connection.list_user_defined_processes()]
doubled = {"d": {"process_id": "doubled", "namespace": "user", "arguments": {"x": 3}, "result": True}}
seen["six"] = connection.execute(doubled)

upload = Path(folder) / "note.txt"
upload.write_text("soil")
connection.upload_file(upload, target="notes/note.txt")
seen["files"] = [str(item.path) for item in connection.list_files()]
connection.get_file("notes/note.txt").download(Path(folder) / "back.txt")
seen["back"] = (Path(folder) / "back.txt").read_text()
connection.get_file("notes/note.txt").delete()

service = connection.create_service(mean.flat_graph(), type="XYZ", title="Tiles")
described = service.describe_service()
seen["service"] = {name: described[name] for name in ("type", "enabled", "title")}
# A map client knows no token: the address alone must do. Tile 9/279/177 lies over eastern Austria.
tile = requests.get(described["url"].replace("{z}", "9").replace("{x}", "279").replace("{y}", "177"), timeout=60)
seen["tile"] = [tile.status_code, tile.headers["content-type"], tile.content[:8].hex()]
service.delete_service()
job.delete()
seen["left"] = len(connection.list_jobs())
print(json.dumps(seen))
