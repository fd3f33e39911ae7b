"""What is read from and written for people and registries: errors, references, progress, credentials, sizes."""

import base64
import json

import pytest

from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.docker.definition import sizes
from tsunagu_node.runtime.docker.engine import errors
from tsunagu_node.runtime.docker.images import credentials, references
from tsunagu_node.runtime.docker.images.progress import Progress

RUNC = 'failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "nosuch": executable file not found in $PATH: unknown'


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (RUNC, 'exec: "nosuch": executable file not found in $PATH'),
        ("unable to find user nobody9: no matching entries in passwd file", None),
    ],
)
def test_an_error_without_its_layers(said, told):
    assert errors.plain(said) == (told or said)


@pytest.mark.parametrize(
    ("said", "image"),
    [
        ("No such image: shop:1", "shop:1"),
        ("no such image: shop:1: image not known", "shop:1:"),
        ("conflict", ""),
    ],
)
def test_an_image_that_is_missing_is_known_by_the_error(said, image):
    assert errors.missing_image(said) == image


def test_a_missing_image_has_its_ways_named():
    words = errors.ways_to_an_image("registry.test/shop/web:1")
    for way in ("docker build -t", "docker pull", "--pull missing", 'pattern: "*web*", image:', "build: ./DIR"):
        assert way in words


@pytest.mark.parametrize(
    ("reference", "name", "tag", "registry"),
    [
        ("redis", "redis", "latest", "docker.io"),
        ("library/redis:7", "library/redis", "7", "docker.io"),
        ("localhost:5000/shop", "localhost:5000/shop", "latest", "localhost:5000"),
        ("ghcr.io/a/b:v1", "ghcr.io/a/b", "v1", "ghcr.io"),
        ("ghcr.io/a/b:v1@sha256:12", "ghcr.io/a/b", "sha256:12", "ghcr.io"),
    ],
)
def test_the_parts_of_a_reference(reference, name, tag, registry):
    assert references.parts(reference) == (name, tag)
    assert references.registry(reference) == registry


def test_progress_counts_layers_and_bytes():
    progress = Progress()
    lines = [
        {"id": "a", "status": "Downloading", "progressDetail": {"current": 3_000_000, "total": 9_000_000}},
        {"id": "b", "status": "Already exists"},
        {"status": "Status: whatever"},
    ]
    progress.learn(json.dumps(line).encode() for line in lines)
    assert str(progress) == "1 layers done, 3 of 9 MB"
    progress.learn([b'{"error": "denied"}'])
    assert progress.error == "denied"


def given(tmp_path, config: dict) -> dict[str, str]:
    (tmp_path / "config.json").write_text(json.dumps(config))
    return {"DOCKER_CONFIG": str(tmp_path), "PATH": str(tmp_path)}


def read(headers: dict[str, str]) -> dict:
    return json.loads(base64.urlsafe_b64decode(headers["x-registry-auth"]))


def test_credentials_of_docker_s_own_file(tmp_path):
    auth = base64.b64encode(b"ann:secret:with colon").decode()
    environment = given(
        tmp_path, {"auths": {"ghcr.io": {"auth": auth}, "https://index.docker.io/v1/": {"identitytoken": "t"}}}
    )
    told = read(credentials.headers("ghcr.io", environment))
    assert told == {"serveraddress": "ghcr.io", "username": "ann", "password": "secret:with colon"}
    assert read(credentials.headers("docker.io", environment))["identitytoken"] == "t"
    assert credentials.headers("quay.io", environment) == {}


def test_credentials_of_a_helper(tmp_path):
    helper = tmp_path / "docker-credential-fake"
    helper.write_text('#!/bin/sh\nread host\necho "{\\"Username\\": \\"ann\\", \\"Secret\\": \\"$host\\"}"\n')
    helper.chmod(0o755)
    environment = given(tmp_path, {"credHelpers": {"ghcr.io": "fake"}})
    environment["PATH"] += ":/usr/bin:/bin"
    assert read(credentials.headers("ghcr.io", environment))["password"] == "ghcr.io"


@pytest.mark.parametrize("text", ["no json", "[]", '{"auths": {"ghcr.io": {"auth": "%%%"}}}'])
def test_a_file_without_credentials_is_no_error(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    assert credentials.headers("ghcr.io", {"DOCKER_CONFIG": str(tmp_path)}) == {}


def test_what_aws_would_pull_by_itself_is_told():
    ecr = ecs_pb2.ContainerDefinition(image="123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop:1")
    assert "aws ecr get-login-password --region eu-west-1" in credentials.advice(ecr)
    private = ecs_pb2.ContainerDefinition(
        image="r.test/shop:1", repository_credentials={"credentials_parameter": "arn"}
    )
    assert "docker login r.test" in credentials.advice(private)
    assert credentials.advice(ecs_pb2.ContainerDefinition(image="redis")) == ""


@pytest.mark.parametrize(("text", "mib"), [("512", 512), ("1 GB", 1024), ("0.5GB", 512), ("", 0), ("many", 0)])
def test_memory_of_a_task(text, mib):
    assert sizes.memory(text) == mib * 1024 * 1024


@pytest.mark.parametrize(("text", "cpus"), [("256", 0.25), (".5 vCPU", 0.5), ("1vcpu", 1), ("", 0)])
def test_cpu_of_a_task(text, cpus):
    assert sizes.nano_cpus(text) == cpus * 1_000_000_000
