"""The children of `up`, as far as they can be known without a mesh."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tsunagu.cli.local import children
from tsunagu.cli.local.home_lock import make
from tsunagu.cli.local.lifeline import Lifeline
from tsunagu.cli.local.options import Options, Xds
from tsunagu.kit.supervise import Child, Exited, RestartState
from tsunagu.settings import Home
from tsunagu_node.runtime.choice import Choice

LINUX = Choice("linux", "a test wants it")
DOCKER = Choice("docker", "a test wants it as well")


def only_node(home, lifeline, options=()):
    (child,) = children.nodes(home, lifeline, (LINUX,), options)
    return child


async def test_the_last_words_are_those_of_this_mesh(tmp_path, monkeypatch):
    home = Home(tmp_path)
    make(home)
    log = tmp_path / "log" / "serve.err"
    log.write_text("an old story\n" * 20)
    broken = (sys.executable, "-c", "import sys; sys.exit('the port is taken')")
    monkeypatch.setattr(
        children, "serve", lambda _, lifeline, _own: Child("serve", broken, None, (lifeline.descriptor,), log, 1.0)
    )
    told = []
    async with children.running(home, told.append, Options()) as running:
        await running.failing.wait()
    assert told[0] == "serve has ended with code 1 (the port is taken); it is started again in 0.1 s"
    message = str(children.failure(running))
    assert "serve ends again and again" in message
    assert "the port is taken" in message
    assert "an old story" not in message


@pytest.mark.parametrize("name", ["serve", "node"])
async def test_a_child_imports_nothing_from_the_directory_that_it_is_started_in(tmp_path, name):
    for module in ("asyncio", "grpc", "secrets", "signal"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('this is not the module that was meant')\n")
    lifeline = Lifeline()
    too_long = Home(tmp_path / ("x" * 120))  # it ends at once, and with a message of ours
    child = {"serve": children.serve, "node": only_node}[name](too_long, lifeline)
    lifeline.end()
    assert await lifeline.gone(1)
    done = await asyncio.to_thread(
        subprocess.run, child.argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert (
        "a Unix socket's path may have 107" in done.stderr
        or "longer than the 107 bytes of a socket's path" in done.stderr
    )


async def test_what_up_was_asked_about_xds_is_an_argument_of_the_node_agent():
    lifeline = Lifeline()
    program = only_node(Home(Path("/home/of/it")), lifeline, Options(xds=Xds.sotw).of_node)
    lifeline.end()
    assert await lifeline.gone(1)
    assert program.argv[-2:] == ("--xds", "sotw")


async def test_the_node_agent_waits_for_its_runtime(tmp_path, monkeypatch):
    home = Home(tmp_path)
    make(home)
    started = []

    async def supervise(child, report):
        started.append((child.name, *child.argv))
        await asyncio.Event().wait()

    monkeypatch.setattr(children, "supervise", supervise)
    async with children.running(home, print, Options(aws="127.0.0.1:0")) as running:
        await asyncio.sleep(0)
        assert [name for name, *_ in started] == ["serve", "web"]
        running.choose((LINUX,))
        running.choose((Choice("docker", "too late"),))
        for _ in range(4):
            await asyncio.sleep(0)
    ((name, *words),) = started[2:]
    assert (name, words[words.index("--chosen") + 1]) == ("node", LINUX.encoded())


async def test_each_runtime_of_a_mesh_has_a_node_agent_with_a_name_and_a_folder():
    lifeline = Lifeline()
    linux, docker = children.nodes(Home(Path("/home/of/it")), lifeline, (LINUX, DOCKER), ("--xds", "sotw"))
    lifeline.end()
    assert await lifeline.gone(1)
    assert (linux.name, docker.name) == ("node-linux", "node-docker")
    assert linux.argv[-7:] == ("--chosen", LINUX.encoded(), "--name", "linux", "--among", "--xds", "sotw")
    assert docker.argv[-7:] == ("--chosen", DOCKER.encoded(), "--name", "docker", "--among", "--xds", "sotw")


async def test_the_endpoint_for_aws_that_ends_again_and_again_does_not_end_the_mesh(tmp_path):
    told = []
    running = children.Processes(Home(tmp_path), told.append)
    for _ in range(9):
        ended = RestartState(starts=9, failures=9)
        running.report(Exited(Child(children.WEB, ("web",)), 1, ended, 0.1))
    assert not running.failing.is_set()
    assert told[0].startswith("web has ended with code 1")


def test_the_background_has_the_same_options():
    asked = Options(
        stop_within=7.5,
        xds=Xds.sotw,
        runtimes=(LINUX.encoded(), DOCKER.encoded()),
        aws="127.0.0.1:1",
        zones="a,b",
        hooks=('["arn:aws:lambda:::function:f", {"url": "http://h/"}]',),
        asked='[["/mesh.yaml"]]',
    )
    assert Options.read(asked.word()) == asked
