"""get, describe, delete, ps, scale, stop: what is there, and changing it by hand."""

import json
import time

import pytest
from ruamel.yaml import YAML

from tsunagu.model import ids
from tsunagu.v1 import objects_pb2


@pytest.fixture
def mesh(server, tsunagu, shop):
    tsunagu("apply", shop, "--home", server.home.root)
    for name, status in (("web-11111111", "RUNNING"), ("web-22222222", "STOPPED"), ("web-12345678", "PENDING")):
        task = objects_pb2.Task()
        task.spec.MergeFrom(objects_pb2.TaskSpec(cluster="default", service="web", desired_status="RUNNING"))
        task.status.last_status = status
        server.do(server.registry.put(ids.make("Task", f"default/{name}", task)))
    return server


def run(tsunagu, mesh, *arguments):
    return tsunagu(*arguments, "--home", mesh.home.root)


def test_get_lists_a_kind_however_it_is_written(mesh, tsunagu):
    for word in ("service", "Services", "svc"):
        lines = run(tsunagu, mesh, "get", word).stdout.splitlines()
        assert lines[0].split()[:3] == ["NAME", "RUNNING", "TASK"]
        assert lines[1].split()[0] == "default/web"


def test_get_without_a_kind_lists_the_kinds_and_needs_no_mesh(tsunagu, tmp_path):
    lines = tsunagu("get", "--home", tmp_path / "none").stdout.splitlines()
    assert lines[0].split() == ["KIND", "NAME", "SHORT"]
    assert ["TaskDefinition", "taskdefinitions", "td,", "taskdef"] in [line.split() for line in lines]


def test_what_looks_like_a_secret_is_masked_unless_it_is_asked_for(mesh, tsunagu, shop):
    shop.write_text(
        shop.read_text().replace("image: web:1", "image: web:1\n  environment: [{name: DB_PASSWORD, value: hunter2}]")
    )
    tsunagu("apply", shop, "--home", mesh.home.root)
    for words in (["get", "td", "web", "-o", "yaml"], ["describe", "td", "web"], ["get", "td", "-o", "json"]):
        result = run(tsunagu, mesh, *words)
        assert "hunter2" not in result.output
        assert result.stderr == "values that look like secrets are masked; --unmask shows them\n"
        assert "hunter2" in run(tsunagu, mesh, *words, "--unmask").stdout


def test_a_family_means_its_latest_task_definition(mesh, tsunagu, shop):
    shop.write_text(shop.read_text().replace("image: web:1", "image: web:2"))
    tsunagu("apply", shop, "--home", mesh.home.root)
    assert "name: web:2" in run(tsunagu, mesh, "describe", "td", "web").stdout


def test_get_in_json_and_yaml_has_aws_names(mesh, tsunagu):
    shown = json.loads(run(tsunagu, mesh, "get", "service", "web", "-o", "json").stdout)
    assert (shown["kind"], shown["name"], shown["spec"]["desiredCount"]) == ("Service", "default/web", 2)
    listed = YAML(typ="safe").load(run(tsunagu, mesh, "get", "service", "-o", "yaml").stdout)
    assert listed == [shown]


def test_an_unknown_kind_or_name_is_answered_with_the_nearest(mesh, tsunagu):
    wrong_kind = run(tsunagu, mesh, "get", "servce")
    assert (wrong_kind.exit_code, 'did you mean "service"?' in wrong_kind.stderr) == (2, True)
    wrong_name = run(tsunagu, mesh, "get", "service", "wbe")
    assert (wrong_name.exit_code, 'did you mean "web"?' in wrong_name.stderr) == (4, True)


def test_a_secret_is_never_shown(mesh, tsunagu):
    secret = ids.make("SecretValue", "/shop/token", objects_pb2.SecretValue(value=b"s3cr3t"))
    mesh.do(mesh.registry.put(secret))
    for form in ("table", "json", "yaml"):
        assert "s3cr3t" not in run(tsunagu, mesh, "get", "secret", "-o", form).output
    assert "czNjcjN0" not in run(tsunagu, mesh, "get", "secret", "-o", "json").output
    assert "s3cr3t" not in run(tsunagu, mesh, "describe", "secret", "/shop/token").output


def test_describe_shows_the_tasks_of_a_service(mesh, tsunagu):
    text = run(tsunagu, mesh, "describe", "service", "web").stdout
    assert "desiredCount: 2" in text
    assert "web-11111111" in text


def test_ps_hides_what_has_stopped(mesh, tsunagu):
    assert "web-22222222" not in run(tsunagu, mesh, "ps").stdout
    assert "web-22222222" in run(tsunagu, mesh, "ps", "--all").stdout
    assert len(json.loads(run(tsunagu, mesh, "ps", "web", "-o", "json").stdout)) == 2


def test_ps_leaves_out_columns_without_content_and_shows_what_says_something(mesh, tsunagu):
    before = run(tsunagu, mesh, "ps").stdout.splitlines()
    assert before[0].split() == ["TASK", "OF", "STATUS"]
    assert [line.split()[0] for line in before[1:]] == ["web-12345678", "web-11111111"], "newest first"
    task = mesh.do(mesh.registry.get("Task", "default/web-11111111"))
    task.task.status.health_status = "HEALTHY"
    task.task.status.proxy.MergeFrom(objects_pb2.ProxyStatus(state="LIVE", restarts=2, exit_code=137))
    task.task.status.containers.add(name="app", restarts=1)
    mesh.do(mesh.registry.put(task))
    lines = run(tsunagu, mesh, "ps").stdout.splitlines()
    assert lines[0].split() == ["TASK", "OF", "STATUS", "HEALTH", "PROXY", "RESTARTS"]
    assert lines[2].endswith("HEALTHY  LIVE   app 1, envoy 2 (exit code 137)")


def test_a_stopped_task_says_since_when_and_why(mesh, tsunagu):
    task = mesh.do(mesh.registry.get("Task", "default/web-22222222"))
    task.task.status.stopped_reason = "Essential container in task exited: app, with code 1"
    task.task.status.containers.add(name="app", exit_code=1, last_line="KeyError: 'DB_URL'")
    task.task.status.stopped_at.FromSeconds(int(time.time()) - 200)
    mesh.do(mesh.registry.put(task))
    lines = run(tsunagu, mesh, "ps", "-a").stdout.splitlines()
    assert lines[0].split() == ["TASK", "OF", "STATUS", "STOPPED", "WHY", "NOT", "RUNNING"]
    [stopped] = [line for line in lines if line.startswith("web-22222222")]
    assert stopped.split(None, 4)[3:] == [
        "3m",
        "Essential container in task exited: app, with code 1; last line of app: KeyError: 'DB_URL'",
    ]


def test_scale_sets_the_count(mesh, tsunagu):
    assert run(tsunagu, mesh, "scale", "web=5").stdout == "service default/web: 2 -> 5 tasks\n"
    assert run(tsunagu, mesh, "scale", "web=5").stdout == "service default/web: has 5 tasks already\n"
    service = mesh.do(mesh.registry.get("Service", "default/web"))
    assert service.service.spec.desired_count == 5


def test_scale_does_all_or_nothing(mesh, tsunagu):
    assert run(tsunagu, mesh, "scale", "web=5", "wbe=5").exit_code == 4
    assert run(tsunagu, mesh, "scale", "web=5").stdout == "service default/web: 2 -> 5 tasks\n"


@pytest.mark.parametrize("text", ["web", "web=", "=3", "web=-1", "web=two"])
def test_scale_says_how_it_is_written(mesh, tsunagu, text):
    result = run(tsunagu, mesh, "scale", text)
    assert (result.exit_code, "SERVICE=N" in result.stderr) == (2, True)


def test_restart_forces_a_deployment_of_each_service_or_of_none(mesh, tsunagu):
    assert run(tsunagu, mesh, "restart", "web", "wbe").exit_code == 4
    before = mesh.do(mesh.registry.get("Service", "default/web"))
    assert before.service.forced_deployments == 0
    assert (
        run(tsunagu, mesh, "restart", "web").stdout == "service default/web: new tasks take the place of the old ones\n"
    )
    assert mesh.do(mesh.registry.get("Service", "default/web")).service.forced_deployments == 1


def test_apply_forces_a_deployment_only_when_it_is_asked_to(mesh, tsunagu, shop):
    result = run(tsunagu, mesh, "apply", shop, "--force-new-deployment")
    assert "service default/web changed (a deployment is forced)" in result.stdout.splitlines()
    assert "task definition web:1 is as it should be" in result.stdout.splitlines()
    run(tsunagu, mesh, "apply", shop, "--force-new-deployment")
    assert "service default/web is as it should be" in run(tsunagu, mesh, "apply", shop).stdout.splitlines()
    assert mesh.do(mesh.registry.get("Service", "default/web")).service.forced_deployments == 2


def test_stop_takes_the_beginning_of_an_id_and_keeps_the_reason(mesh, tsunagu):
    assert run(tsunagu, mesh, "stop", "web-111", "--reason", "look").stdout == "task web-11111111 is to stop\n"
    spec = mesh.do(mesh.registry.get("Task", "default/web-11111111")).task.spec
    assert (spec.desired_status, spec.stop_code, spec.stop_reason) == ("STOPPED", "UserInitiated", "look")


def test_what_could_mean_two_things_is_refused(mesh, tsunagu):
    result = run(tsunagu, mesh, "stop", "web-1")
    assert result.exit_code == 2
    assert "web-11111111" in result.stderr
    assert "web-12345678" in result.stderr


def test_delete_takes_one_object(mesh, tsunagu):
    assert run(tsunagu, mesh, "delete", "service", "web").stdout == "service default/web deleted\n"
    assert mesh.do(mesh.registry.get("Service", "default/web")) is None


def test_delete_needs_to_know_what(mesh, tsunagu):
    assert run(tsunagu, mesh, "delete", "service").exit_code == 2


@pytest.mark.parametrize("name", ["we", "default/we"])
def test_delete_takes_no_shortened_name(mesh, tsunagu, name):
    result = run(tsunagu, mesh, "delete", "service", name)
    assert (result.exit_code, "web" in result.stderr) == (4, True)
    assert mesh.do(mesh.registry.get("Service", "default/web"))


@pytest.mark.parametrize("words", [["stop", ""], ["describe", "service", ""], ["delete", "service", ""], ["logs", ""]])
def test_an_empty_word_names_nothing(mesh, tsunagu, words):
    for name in ("web-22222222", "web-12345678"):
        mesh.do(mesh.registry.delete("Task", f"default/{name}"))
    assert run(tsunagu, mesh, *words).exit_code in (2, 4)
    assert mesh.do(mesh.registry.get("Task", "default/web-11111111")).task.spec.desired_status == "RUNNING"


def test_a_lost_node_is_deleted_only_by_who_says_so(mesh, tsunagu):
    task = objects_pb2.Task(spec=objects_pb2.TaskSpec(cluster="default", service="web", node="laptop"))
    task.status.last_status = "RUNNING"
    lost = objects_pb2.Node(state="NOT_READY", reason="its agent does not answer")
    mesh.do(mesh.registry.put(ids.make("Node", "laptop", lost)))
    mesh.do(mesh.registry.put(ids.make("Task", "default/web-44444444", task)))
    assert "its agent does not answer" in run(tsunagu, mesh, "get", "nodes").stdout
    refused = run(tsunagu, mesh, "delete", "node", "laptop")
    assert (refused.exit_code, "may still run 1 tasks" in refused.stderr, "--force" in refused.stderr) == (
        2,
        True,
        True,
    )
    assert run(tsunagu, mesh, "delete", "node", "laptop", "--force").exit_code == 0
    assert mesh.do(mesh.registry.get("Node", "laptop")) is None
