"""What a user of oscar-python does; run in that client's own environment, it tells what came back as JSON."""

import json
import sys
import time
from pathlib import Path

from oscar_python.client import Client


def main() -> None:
    url, token, folder, way = sys.argv[1:5]
    shown = {"user": "gemel", "password": token} if way == "basic" else {"oidc_token": token}
    client = Client({"cluster_id": "here", "endpoint": url, "ssl": False} | shown)
    client.refresh_token = None
    told = {"info": client.get_cluster_info().json(), "health": client.health_check().status_code}
    told["created"] = client.create_service(f"{folder}/shout.yaml").status_code
    told["listed"] = [item["name"] for item in client.list_services().json()]
    told["service"] = client.get_service("shout").json()
    told["again"] = refused(client.create_service, f"{folder}/shout.yaml")

    Path(folder, "input.txt").write_text("hello twin")
    client.run_service("shout", input=f"{folder}/input.txt", output=f"{folder}/output.txt")
    told["output"] = Path(folder, "output.txt").read_text()

    told["job"] = client.run_service("shout", input="from afar", async_call=True).status_code
    told["jobs"] = followed(client)
    job = next(iter(told["jobs"]))
    told["log"] = client.get_job_logs("shout", job).text
    told["job removed"] = client.remove_job("shout", job).status_code
    told["jobs removed"] = client.remove_all_jobs("shout").status_code
    told["left"] = client.list_jobs("shout").json()["jobs"]

    definition = client.get_service("shout").json()
    definition["script"] = 'printf "softly: "; cat "$INPUT_FILE_PATH"'
    told["updated"] = client.update_service("shout", definition).status_code
    client.run_service("shout", input="hush", output=f"{folder}/output.txt")
    told["soft"] = Path(folder, "output.txt").read_text()

    told["gpu"] = refused(client.create_service, definition | {"name": "gpu", "token": "", "enable_gpu": True})
    told["config"] = client.get_cluster_config().json()["minio_provider"]
    client.create_storage_client("shout")
    told["status"] = client.get_cluster_status().json()["cluster"]["nodes_count"]
    told["removed"] = client.remove_service("shout").status_code
    told["rest"] = client.list_services().json()
    print(json.dumps(told))


def refused(ask, *args) -> str:
    try:
        ask(*args)
    except Exception as error:
        text = getattr(getattr(error, "response", None), "text", "")
        return f"{error} {text}"
    return "it was not refused"


def followed(client: Client) -> dict:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        jobs = client.list_jobs("shout").json()["jobs"]
        if jobs and all(job["status"] == "Succeeded" for job in jobs.values()):
            return jobs
        time.sleep(0.05)
    raise SystemExit("the job did not end")


main()
