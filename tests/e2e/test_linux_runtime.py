"""A real node agent with real processes, against a registry in this process: each way in which a task's life goes.

No controllers and no Envoys here (tests of the mesh have them): tasks are put as controllers would put them, so that each
status that the agent writes is its own doing.
"""

import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path

import grpc.aio
import psutil
import pytest

from tests.contract.fake_mesh import SLEEP, app, container, together
from tests.e2e.machine import Machine
from tsunagu.v1 import node_pb2, objects_pb2
from tsunagu_node.runtime.linux import probe

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
STUBBORN = "import signal, socket, time; signal.signal(15, signal.SIG_IGN); s = socket.create_server(('', 80)); time.sleep(600)"
PORT = objects_pb2.ServicePort(port_name="http", container_port=80)


@pytest.fixture
async def machine():
    found = probe.findings()
    if not probe.usable(found):
        pytest.skip("; ".join(f"{one.name}: {one.detail}" for one in found if one.needed and not one.ok))
    with tempfile.TemporaryDirectory(prefix="tsunagu-") as folder:
        async with asyncio.TaskGroup() as group:
            made = Machine(Path(folder), group)
            await made.serve()
            made.start()
            yield made
            made.close()
            await made.cut()


async def test_a_node_registers_itself_and_lives_by_its_lease(machine):
    async def registered():
        return await machine.registry.get("Node", "laptop")

    obj = await machine.until(registered)
    node = obj.node
    assert (node.runtime, node.task_cidr) == ("linux", "10.88.0.0/16")
    assert f"-m tsunagu_node.main {machine.home} {machine.home} laptop " in " ".join(psutil.Process(node.pid).cmdline())
    assert obj.meta.lease == "node/laptop"
    assert node.api == f"unix:{machine.home}/node.sock"


async def test_a_task_goes_its_way_and_drains_nothing_without_a_proxy(machine):
    await machine.task(app("print('hello')\n" + SLEEP))
    running = await machine.reaches("RUNNING")
    assert running.ip.startswith("10.88.")
    assert running.HasField("started_at")
    assert psutil.Process(container(running).pid).cmdline()[0] == sys.executable
    log = machine.home / "tasks" / "web-1" / "log" / "app.log"

    async def logged():
        return log.read_text()

    await machine.until(logged)
    await machine.stop()
    stopped = await machine.reaches("STOPPED")
    assert (stopped.stop_code, stopped.stopped_reason) == ("ServiceSchedulerInitiated", "scaled in")
    assert (container(stopped).last_status, container(stopped).exit_code) == ("STOPPED", 143)
    assert machine.barrier.asked == []
    async with machine.node() as node:
        lines = [line async for line in node.Logs(node_pb2.LogsRequest(task="default/web-1"))]
    assert [(line.container, line.line) for line in lines] == [("app", b"hello")]


async def test_an_app_that_ignores_sigterm_is_killed_after_its_stop_timeout(machine):
    await machine.task(app(STUBBORN, stopTimeout=1), ports=[PORT])
    await machine.reaches("RUNNING")
    await machine.stop()
    assert container(await machine.reaches("STOPPED")).exit_code == 137


async def test_an_essential_container_s_end_stops_the_task(machine, tmp_path):
    tmp_path.chmod(0o777)  # apps do not see the mesh's directory
    await machine.task(*together(tmp_path / "begun"))
    stopped = await machine.reaches("STOPPED")
    assert stopped.stop_code == "EssentialContainerExited"
    assert stopped.stopped_reason == "Essential container in task exited: app, with code 3"
    assert {one.name: one.exit_code for one in stopped.containers} == {"app": 3, "other": 143}


async def test_containers_start_in_order_and_see_what_they_are_given(machine):
    await machine.put("SecretValue", "db-password", objects_pb2.SecretValue(value=b"s3cret"))
    once = app("open('/proc/1/cmdline'); print('migrated')", "migrate", essential=False)
    ready = {"command": ["CMD-SHELL", "echo checked >> /proc/$(cat /dev/null)self/fd/1; true"], "interval": 5}
    base = app(SLEEP, "db", healthCheck=ready)
    waits = [{"containerName": "migrate", "condition": "SUCCESS"}, {"containerName": "db", "condition": "HEALTHY"}]
    secrets = [{"name": "PASSWORD", "valueFrom": "db-password"}]
    environment = [{"name": "WORD", "value": "hi"}]
    say = "import os; print(os.environ['WORD'], os.environ['PASSWORD'], os.environ['HOSTNAME'])\n" + SLEEP
    await machine.task(app(say, dependsOn=waits, secrets=secrets, environment=environment), base, once)
    running = await machine.reaches("RUNNING")
    assert container(running, "db").health_status == "HEALTHY"
    assert running.health_status == "HEALTHY"
    assert container(running, "migrate").exit_code == 0
    log = machine.home / "tasks" / "web-1" / "log" / "app.log"

    async def logged():
        return log.read_text().split(" ", 2)[2:]

    assert await machine.until(logged) == ["hi s3cret web-1\n"]


@pytest.mark.parametrize(
    ("containers", "reason"),
    [
        (
            [{"name": "app", "command": ["/no/such/program"]}],
            "CannotStartContainerError: app: No such file or directory",
        ),
        ([{"name": "app", "image": "x"}], "container app has no command"),
        ([app(secrets=[{"name": "A", "valueFrom": "nosuch"}])], "there is no SecretValue 'nosuch'"),
        (
            [
                app(dependsOn=[{"containerName": "init", "condition": "SUCCESS"}]),
                app("raise SystemExit(7)", "init", essential=False),
            ],
            "app waits for init to be SUCCESS, but it exited with code 7",
        ),
    ],
    ids=["no program", "no command", "no secret", "dependency failed"],
)
async def test_a_task_that_cannot_start_says_why(machine, containers, reason):
    await machine.task(*containers)
    stopped = await machine.reaches("STOPPED")
    assert stopped.stop_code == "TaskFailedToStart"
    assert reason in stopped.stopped_reason


async def test_a_container_that_is_not_essential_may_fail_to_start(machine):
    await machine.task(app(), {"name": "helper", "command": ["/no/such/program"], "essential": False})
    helper = container(await machine.reaches("RUNNING"), "helper")
    assert (helper.last_status, helper.exit_code) == ("STOPPED", 127)
    assert helper.reason.startswith("CannotStartContainerError: helper: No such file or directory")


async def test_health_is_told_and_a_restart_policy_kept(machine, tmp_path):
    flag = tmp_path / "well"  # apps do not see the mesh's directory
    flag.touch()
    check = {"command": ["CMD", "test", "-e", str(flag)], "interval": 1, "timeout": 2, "retries": 1}
    policy = {"enabled": True, "restartAttemptPeriod": 0}
    await machine.task(app(SLEEP, healthCheck=check), app(SLEEP, "helper", essential=False, restartPolicy=policy))
    running = await machine.reaches("RUNNING")
    os.kill(container(running, "helper").pid, signal.SIGKILL)

    async def restarted():
        one = container(await machine.status(), "helper")
        return one.restarts == 1 and one.last_status == "RUNNING" and one.pid

    await machine.until(restarted)
    flag.unlink()

    async def unhealthy():
        return (await machine.status()).health_status == "UNHEALTHY"

    await machine.until(unhealthy)
    assert (await machine.status()).last_status == "RUNNING"


async def test_a_task_is_admitted_when_its_port_listens(machine, tmp_path):
    late = "import os, socket, time\nwhile not os.path.exists(os.environ['GO']): time.sleep(.02)\ns = socket.create_server(('', 80)); time.sleep(600)"
    go = tmp_path / "go"
    await machine.task(app(late, environment=[{"name": "GO", "value": str(go)}]), ports=[PORT])
    await machine.reaches("ACTIVATING")

    async def says_what_it_waits_for():
        return (await machine.status()).waits_for == "nothing in it listens at port 80"

    await machine.until(says_what_it_waits_for, "what it waits for")
    go.touch()
    assert (await machine.reaches("RUNNING")).waits_for == ""


async def test_a_killed_agent_is_followed_by_one_that_adopts(machine):
    await machine.task(app(), app("raise SystemExit(0)", "once", essential=False))
    before = await machine.reaches("RUNNING")
    agents = [process for process in psutil.process_iter() if _runs_in(process, machine.home, "tsunagu_node.main")]
    machine._agents[0].kill()
    machine._agents[0].wait()
    _, alive = psutil.wait_procs(agents, 60)
    assert alive == []
    machine.start()

    async def answers():
        try:
            async with machine.node() as node:
                return list((await node.Info(node_pb2.NodeInfoRequest(), timeout=1)).tasks)
        except grpc.aio.AioRpcError:
            return None

    assert await machine.until(answers) == ["default/web-1"]
    after = await machine.status()
    assert container(after).pid == container(before).pid
    assert after.ip == before.ip
    await machine.stop()
    stopped = await machine.reaches("STOPPED")
    assert {one.name: one.exit_code for one in stopped.containers} == {"app": 143, "once": 0}


async def test_without_a_control_plane_a_task_lives_on_and_what_happened_is_told_later(machine):
    policy = {"enabled": True, "restartAttemptPeriod": 0}
    await machine.task(app(), app(SLEEP, "helper", essential=False, restartPolicy=policy))
    running = await machine.reaches("RUNNING")
    await machine.cut()
    helper = psutil.Process(container(running, "helper").pid)
    init = helper.parent()
    helper.kill()

    async def started_again():
        children = {child.pid for child in init.children()}
        return len(children) == 2 and helper.pid not in children

    await machine.until(started_again)
    await machine.serve()

    async def told():
        one = container(await machine.status(), "helper")
        return one.restarts == 1 and one.pid in {child.pid for child in init.children()}

    await machine.until(told)
    assert container(await machine.status()).pid == container(running).pid


async def test_an_agent_that_comes_back_while_the_control_plane_is_away_looks_after_its_tasks(machine):
    policy = {"enabled": True, "restartAttemptPeriod": 0}
    await machine.task(app(), app(SLEEP, "helper", essential=False, restartPolicy=policy))
    running = await machine.reaches("RUNNING")
    await machine.cut()
    machine._agents[0].kill()
    machine._agents[0].wait()
    machine.start()
    helper = psutil.Process(container(running, "helper").pid)
    init = helper.parent()
    helper.kill()

    async def started_again():
        children = {child.pid for child in init.children()}
        return len(children) == 2 and helper.pid not in children

    await machine.until(started_again)
    await machine.serve()

    async def told():
        return container(await machine.status(), "helper").restarts == 1

    await machine.until(told)


async def test_its_init_s_death_is_the_task_s(machine):
    await machine.task(app())
    running = await machine.reaches("RUNNING")
    process = psutil.Process(container(running).pid)
    process.parent().kill()
    psutil.wait_procs([process], 5)
    stopped = await machine.reaches("STOPPED")
    assert stopped.stop_code == "EssentialContainerExited"
    assert "init was killed" in stopped.stopped_reason
    assert container(stopped).exit_code == 137


async def test_a_task_whose_object_is_deleted_ends(machine):
    await machine.task(app(STUBBORN, stopTimeout=1), ports=[PORT])
    pid = container(await machine.reaches("RUNNING")).pid
    await machine.registry.delete("Task", "default/web-1")

    async def gone():
        return not psutil.pid_exists(pid)

    await machine.until(gone)


async def test_tasks_that_are_stopped_at_any_moment_leave_nothing(machine):
    """Each as soon as it is seen in a status, so that the stop comes in every one of them."""
    moments = ("", "PROVISIONING", "PENDING", "ACTIVATING", "RUNNING")
    names = [f"web-{number}" for number in range(2 * len(moments))]
    for name, moment in zip(names, 2 * moments, strict=True):
        await machine.task(app(), name=name)

        async def seen(name=name, moment=moment):
            status = (await machine.status(name)).last_status
            return status in moments[moments.index(moment) :]

        await machine.until(seen)
        await machine.stop(name)
    for name in names:
        assert (await machine.reaches("STOPPED", name)).stop_code == "ServiceSchedulerInitiated"

    async def alone():
        inside = psutil.Process(machine.sandbox["first"]["pid"]).children(recursive=True)
        return all(_runs_in(one, machine.home, "tsunagu_node.main") for one in inside)

    await machine.until(alone, "nothing in the sandbox but the agent")


async def test_when_the_sandbox_dies_its_tasks_are_told_stopped(machine):
    await machine.task(app())
    await machine.reaches("RUNNING")
    os.kill(machine.sandbox["first"]["pid"], signal.SIGKILL)
    machine._agents[0].wait(60)
    machine.start()
    stopped = await machine.reaches("STOPPED")
    assert stopped.stopped_reason == "It died while its node agent was away"
    assert container(stopped).exit_code == 137
    await machine.task(app(), name="web-2")
    await machine.reaches("RUNNING", "web-2")


async def test_commands_run_in_a_task(machine):
    await machine.task(app(environment=[{"name": "WORD", "value": "hi"}]))
    await machine.reaches("RUNNING")

    async def run(*command, stdin=b"", interactive=False, container="", task="default/web-1"):
        start = node_pb2.ExecStart(task=task, command=command, interactive=interactive, container=container)
        requests = [
            node_pb2.ExecRequest(start=start),
            node_pb2.ExecRequest(stdin=stdin),
            node_pb2.ExecRequest(stdin_eof=True),
        ]
        written = {"stdout": b"", "stderr": b""}
        async with machine.node() as node:
            async for response in node.Exec(iter(requests)):
                kind = response.WhichOneof("response")
                if kind == "exit_code":
                    return response.exit_code, written["stdout"], written["stderr"]
                if kind == "refused":
                    return response.refused
                written[kind] += getattr(response, kind)
        raise AssertionError("no exit code")

    assert await run("sh", "-c", "echo $WORD; echo oops >&2; exit 3") == (3, b"hi\n", b"oops\n")
    large = os.urandom(300_000)
    assert await run("cat", stdin=large) == (0, large, b"")
    code, written, _ = await run(
        "sh", "-c", "test -t 0 && read line && echo got $line", stdin=b"hello\n", interactive=True
    )
    assert (code, written.splitlines()[-1]) == (0, b"got hello")
    assert "no container 'nosuch'" in await run("true", container="nosuch")
    assert "no task 'nosuch'" in await run("true", task="nosuch")
    assert "No such file or directory: nosuch" in await run("nosuch")


@pytest.mark.parametrize(
    "signals",
    [{}, {"first": signal.SIGSTOP, "janitor": signal.SIGSTOP}, {"agent": signal.SIGSTOP}, {"agent": signal.SIGKILL}],
    ids=["as it is", "janitor and PID 1 stopped", "agent stopped", "agent killed"],
)
async def test_at_the_mesh_s_end_nothing_is_left(machine, signals):
    await machine.task(app(STUBBORN), ports=[PORT])
    await machine.task(app("import os, time; os.setsid() if os.fork() == 0 else 0; time.sleep(600)"), name="web-2")
    await machine.reaches("RUNNING")
    await machine.reaches("RUNNING", "web-2")
    sandbox = machine.sandbox
    pids = {"first": sandbox["first"]["pid"], "janitor": sandbox["janitor"]["pid"], "agent": machine._agents[0].pid}
    everything = {*psutil.Process(pids["janitor"]).children(recursive=True), psutil.Process(pids["janitor"])}
    own = Path("/proc/self/ns/net").readlink()
    namespaces = {Path(f"/proc/{process.pid}/ns/net").readlink() for process in everything} - {own}
    assert len(namespaces) == 3
    for who, number in signals.items():
        os.kill(pids[who], number)
    machine.end()
    _, alive = await asyncio.to_thread(psutil.wait_procs, everything, 60)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []

    async def swept():
        return not [path for path in machine.home.rglob("*") if path.is_socket() and path.name != "api.sock"]

    await machine.until(swept)
    assert machine._agents[0].wait(60) is not None
    left = {path.relative_to(machine.home).parts[2] for path in machine.home.glob("tasks/*/*")}
    assert left <= {"log", "state.json"}
    assert not (machine.home / "sandbox.json").exists()
    assert str(machine.home) not in Path("/proc/self/mountinfo").read_text()


def _runs_in(process, home, module):
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return module in words and str(home) in words
