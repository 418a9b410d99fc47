"""The Function Definition Language: what is honoured becomes the function, everything else is refused by name."""

from __future__ import annotations

import os

import pytest

from gemel.base.errors import InvalidInput
from gemel.core.stream.functions import Deployment
from gemel.faces.oscar import function_of, service_of

LEAST = {"name": "f", "script": "true"}
CORES = os.cpu_count() or 1


def test_what_is_said_becomes_the_function():
    spec = function_of(
        LEAST
        | {
            "memory": "256Mi",
            "log_level": "debug",
            "environment": {"Variables": {"X": "1", "N": 2}},
            "synchronous": {"min_scale": 1, "max_scale": 2},
        }
    )
    assert spec.script == "true" and spec.memory == 256 * 2**20
    assert spec.environment == {"LOG_LEVEL": "DEBUG", "X": "1", "N": "2"}
    assert (spec.minimum, spec.concurrency) == (1, 2)


@pytest.mark.parametrize(
    ("said", "calls"),
    [
        ({"cpu": str(CORES)}, 1),
        ({"cpu": CORES / 2}, 2),
        ({"cpu": "500m"}, 2 * CORES),
        ({"cpu": "500m", "total_cpu": "1"}, 2),
        ({"cpu": "500m", "total_cpu": "100000"}, 2 * CORES),
        ({"memory": "100M", "total_memory": "350M"}, 3),
        ({"memory": "100M", "total_memory": "100M", "synchronous": {"max_scale": 5}}, 1),
        ({}, 64),
    ],
)
def test_as_many_calls_run_at_a_time_as_the_bounds_allow(said, calls):
    assert function_of(LEAST | said).concurrency == min(64, calls)


@pytest.mark.parametrize(
    ("said", "bytes"),
    [("128Mi", 2**27), ("1G", 10**9), ("1Gi", 2**30), ("70000000", 70_000_000), ("0.5Gi", 2**29), ("", None)],
)
def test_memory_is_read_as_kubernetes_writes_it(said, bytes):
    assert function_of(LEAST | {"memory": said}).memory == bytes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a b"),
        ("name", None),
        ("script", ""),
        ("script", 3),
        ("image", "ubuntu:22.04"),
        ("image", 3),
        ("cpu", "many"),
        ("cpu", 0),
        ("cpu", True),
        ("cpu", str(CORES + 1)),
        ("memory", "much"),
        ("memory", "1Mi"),
        ("total_memory", []),
        ("synchronous", {"min_scale": 3, "max_scale": 2}),
        ("synchronous", {"min_scale": -1}),
        ("synchronous", {"scale": 1}),
        ("synchronous", 3),
        ("log_level", "LOUD"),
        ("environment", {"secrets": {"KEY": "x"}}),
        ("environment", {"variables": {"GEMEL_HOME": "x"}}),
        ("environment", {"variables": ["X"]}),
        ("environment", {"words": {}}),
        ("environment", "X=1"),
        ("cluster_id", 3),
        ("labels", {"a": 1}),
        ("visibility", "public"),
        ("isolation_level", "USER"),
        ("input", [{"storage_provider": "minio.default", "path": "in"}]),
        ("output", [{"storage_provider": "s3.mine", "path": "out"}]),
        ("storage_providers", {"s3": {"mine": {"access_key": "a"}}}),
        ("enable_gpu", True),
        ("enable_sgx", True),
        ("image_prefetch", True),
        ("image_pull_secrets", ["mine"]),
        ("alpine", True),
        ("file_stage_in", True),
        ("ephemeral_storage_request", "1Gi"),
        ("expose", {"min_scale": 1}),
        ("mount", {"storage_provider": "minio.default"}),
        ("volume", {"size": "1Gi"}),
        ("kserve", {"type": "inference"}),
        ("federation", {"members": [1]}),
        ("clusters", {"other": {}} | {"there": {"endpoint": "x"}}),
        ("interlink_node_name", "node"),
        ("vo", "vo.example"),
        ("allowed_users", ["a"]),
        ("token", "x" * 64),
        ("colour", ""),
    ],
)
def test_what_cannot_be_honoured_is_named(field, value):
    with pytest.raises(InvalidInput) as refused:
        function_of(LEAST | {field: value})
    assert refused.value.context["fields"] == [field] and f"{field} (" in refused.value.message


def test_fields_that_ask_for_nothing_are_no_request():
    empty = {"enable_gpu": False, "input": [], "expose": {"min_scale": 0, "api_port": ""}, "vo": "", "kserve": None}
    assert function_of(LEAST | empty) == function_of(LEAST)


def test_a_service_can_be_sent_back_as_it_was_shown():
    spec = function_of(LEAST | {"cpu": "0.5", "memory": "256Mi", "labels": {"a": "b"}, "cluster_id": "here"})
    shown = service_of(Deployment(spec, "t" * 64, 0.0, 0.0))
    assert shown["labels"] == {"a": "b"} and shown["memory"] == "256Mi" and shown["token"] == "t" * 64
    again = function_of(shown, shown)
    assert again.script == spec.script and again.memory == spec.memory
    with pytest.raises(InvalidInput):
        function_of(shown | {"token": "u" * 64}, shown)


@pytest.mark.parametrize("document", [None, [], "f", 3])
def test_what_is_no_definition_is_refused(document):
    with pytest.raises(InvalidInput):
        function_of(document)
