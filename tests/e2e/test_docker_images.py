"""deploy/docker: the base image of this machine's packages and the images of the Dockerfile, run on a real engine."""

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


def run(engine, image, *command, options=()):
    return engine.docker("run", "--rm", "--network", "none", *options, image, *command)


def test_the_base_image_has_a_working_python_and_nothing_of_this_machine(engine):
    program = (
        "import os, ssl, sqlite3, zlib; print(len(ssl.create_default_context().get_ca_certs()), os.listdir('/home'))"
    )
    certificates, _, homes = run(engine, engine.base, "python3", "-c", program).strip().partition(" ")
    assert int(certificates) > 50
    assert homes == "[]"
    assert (
        run(
            engine, engine.base, "sh", "-c", "ls /etc/shadow /etc/ssh /root/.ssh /var/lib/dpkg/status 2>/dev/null; true"
        )
        == ""
    )
    assert run(engine, engine.base, "id", "-un").strip() == "root"


def test_python_finds_its_bytecode(engine):
    program = "import json.decoder as module; print(module.__cached__, flush=True); open(module.__cached__).close()"
    assert "decoder.cpython-3" in run(engine, engine.base, "python3", "-c", program, options=("--read-only",))


def test_the_sidecar_runs_the_envoy_of_the_dependencies_as_nobody_in_particular(engine):
    assert "/1.40." in run(engine, engine.sidecar, "--version")
    inspected = engine.docker("image", "inspect", "--format", "{{.Config.User}} {{.Config.Entrypoint}}", engine.sidecar)
    assert inspected.strip() == "65532:65532 [/usr/local/bin/envoy]"


def test_the_sidecar_needs_no_more_than_the_standard_library_for_what_is_ours_in_it(engine):
    program = "import tsunagu_sidecar.bootstrap, tsunagu_sidecar.command, tsunagu_sidecar.plan"
    assert run(engine, engine.sidecar, "-c", program, options=("--entrypoint", "python3")) == ""


def test_the_mesh_image_has_the_command_with_all_that_it_needs(engine):
    program = "import grpc, ruamel.yaml, pyroute2, envoy_data_plane"
    assert run(engine, engine.mesh, "-c", program, options=("--entrypoint", "python")) == ""
    said = run(engine, engine.mesh, "version")
    assert "tsunagu" in said
    assert "1.40" in said


def test_its_manifests_are_checked_as_outside(engine):
    manifest = "kind: Namespace\nname: shop\n"
    line = ("run", "--rm", "--interactive", "--network", "none", engine.mesh, "validate", "-")
    assert "valid" in engine.docker(*line, stdin=manifest.encode())


def test_an_image_is_built_once(engine):
    recipe = "FROM BASE\nCOPY greeting /\nCMD cat /greeting\n"
    first = engine.image("tsunagu-test-greeting", recipe, {"greeting": "hello"})
    assert engine.image("tsunagu-test-greeting", recipe, {"greeting": "hello"}) == first
    assert engine.image("tsunagu-test-greeting", recipe, {"greeting": "good morning"}) != first
    assert run(engine, first) == "hello"
