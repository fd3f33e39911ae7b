"""What a program reads of its task: the members that AWS documents, and nothing that is not known."""

from google.protobuf.json_format import ParseDict

from tsunagu.v1 import objects_pb2
from tsunagu_node.runtime.contract import EngineContainer, ProcessState
from tsunagu_node.task.check_output import CheckResult
from tsunagu_node.task.containers import State
from tsunagu_node.task.metadata import documents
from tsunagu_node.task.metadata.facts import Facts, endpoint_id
from tsunagu_node.task.spec import TaskSpec

BEGAN = 1_600_000_000.25
APP = {
    "name": "app",
    "image": "shop/app:1",
    "cpu": 256,
    "memory": 512,
    "portMappings": [{"name": "http", "containerPort": 8080}],
    "dockerLabels": {"team": "shop"},
    "logConfiguration": {
        "logDriver": "awslogs",
        "options": {"awslogs-group": "/shop", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "web"},
    },
}


def facts(*containers, states=None, processes=None, stopping=False, **definition) -> Facts:
    revision = objects_pb2.ServiceRevision(task_definition_name="web:7")
    ParseDict({"family": "web", "containerDefinitions": [*containers] or [APP], **definition}, revision.task_definition)
    task = objects_pb2.Task(spec=objects_pb2.TaskSpec(cluster="default", service="default/web"))
    status = objects_pb2.TaskStatus(last_status="RUNNING", ip="10.88.0.5")
    spec = TaskSpec("default/web-1", task, revision)
    return Facts(spec, status, stopping, "10.88.0.0/16", states or {}, processes or {})


def running(container=None) -> Facts:
    return facts(
        states={"app": State("RUNNING")}, processes={"app": ProcessState(None, BEGAN, None, container=container)}
    )


def test_a_container_tells_what_it_is():
    identifier = endpoint_id(running().spec, "app")
    assert documents.container(running(), "app") == {
        "DockerId": identifier,
        "Name": "app",
        "DockerName": f"ecs-web-7-app-{identifier[:20]}",
        "Image": "shop/app:1",
        "Ports": [{"ContainerPort": 8080, "Protocol": "tcp", "HostPort": 8080}],
        "Labels": {
            "team": "shop",
            "com.amazonaws.ecs.cluster": "default",
            "com.amazonaws.ecs.container-name": "app",
            "com.amazonaws.ecs.task-arn": "arn:aws:ecs:us-east-1:000000000000:task/default/web-1",
            "com.amazonaws.ecs.task-definition-family": "web",
            "com.amazonaws.ecs.task-definition-version": "7",
        },
        "Limits": {"CPU": 256, "Memory": 512},
        "Type": "NORMAL",
        "LogDriver": "awslogs",
        "LogOptions": {
            "awslogs-group": "/shop",
            "awslogs-region": "eu-west-1",
            "awslogs-stream": "web/app/web-1",
        },
        "ContainerARN": running().container_arn("app"),
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "CreatedAt": "2020-09-13T12:26:40.250000Z",
        "StartedAt": "2020-09-13T12:26:40.250000Z",
        "Networks": [
            {
                "NetworkMode": "awsvpc",
                "IPv4Addresses": ["10.88.0.5"],
                "AttachmentIndex": 0,
                "IPv4SubnetCIDRBlock": "10.88.0.0/16",
                "PrivateDNSName": "web-1",
                "SubnetGatewayIpv4Address": "10.88.0.1/16",
            }
        ],
    }


def test_a_task_tells_of_itself_and_of_each_container():
    one, other = {"name": "one", "image": "a"}, {"name": "other", "image": "b"}
    task = documents.task(facts(one, other, cpu="256", memory="512", requiresCompatibilities=["FARGATE"]))
    assert [container["Name"] for container in task.pop("Containers")] == ["one", "other"]
    assert task == {
        "Cluster": "default",
        "TaskARN": "arn:aws:ecs:us-east-1:000000000000:task/default/web-1",
        "Family": "web",
        "Revision": "7",
        "ServiceName": "web",
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": 0.25, "Memory": 512},
        "LaunchType": "FARGATE",
    }


def test_what_an_engine_runs_has_the_engine_s_names():
    told = documents.container(running(EngineContainer("3f0a", "tsunagu-web-1-app", "sha256:77")), "app")
    assert (told["DockerId"], told["DockerName"], told["ImageID"]) == ("3f0a", "tsunagu-web-1-app", "sha256:77")


def test_what_has_ended_tells_how():
    ended = facts(states={"app": State("STOPPED", exit_code=0)}, processes={"app": ProcessState(0, BEGAN, BEGAN + 1)})
    told = documents.container(ended, "app")
    assert (told["KnownStatus"], told["ExitCode"], told["FinishedAt"]) == ("STOPPED", 0, "2020-09-13T12:26:41.250000Z")


def test_what_has_not_begun_says_nothing_of_a_start():
    told = documents.container(facts(), "app")
    assert told["KnownStatus"] == "PENDING"
    assert not {"CreatedAt", "StartedAt", "FinishedAt", "ExitCode", "Health", "ImageID"} & set(told)


def test_a_task_that_is_to_stop_is_desired_to_be_stopped():
    told = documents.task(facts(stopping=True))
    assert (told["DesiredStatus"], told["Containers"][0]["DesiredStatus"]) == ("STOPPED", "STOPPED")


def test_health_is_that_of_a_container_with_a_check():
    checked = {**APP, "healthCheck": {"command": ["CMD-SHELL", "false"]}}
    failing = State("RUNNING", health="UNHEALTHY", check=CheckResult(1, "no"))
    assert documents.container(facts(checked), "app")["Health"] == {"status": "UNKNOWN"}
    told = documents.container(facts(checked, states={"app": failing}), "app")
    assert told["Health"] == {"status": "UNHEALTHY", "exitCode": 1, "output": "no"}


def test_restarts_are_counted_where_there_is_a_policy():
    policy = {**APP, "restartPolicy": {"enabled": True}}
    assert documents.container(facts(policy), "app")["RestartCount"] == 0
    assert documents.container(facts(policy, states={"app": State(restarts=2)}), "app")["RestartCount"] == 2
    assert "RestartCount" not in documents.container(facts(), "app")


def test_limits_are_read_in_each_of_their_forms():
    forms = {("1024", "512"): (1.0, 512), ("0.5 vCPU", "1 GB"): (0.5, 1024), ("2 vcpu", "0.5GB"): (2.0, 512)}
    for (cpu, memory), (cores, mebibytes) in forms.items():
        assert documents.task(facts(cpu=cpu, memory=memory))["Limits"] == {"CPU": cores, "Memory": mebibytes}
    assert "Limits" not in documents.task(facts())


def test_versions_2_and_3_have_less():
    new = documents.task(running(), 4)
    old = documents.task(running(), 3)
    assert set(new) - set(old) == {"LaunchType", "ServiceName"}
    assert set(new["Containers"][0]) - set(old["Containers"][0]) == {"ContainerARN", "LogDriver", "LogOptions"}
    assert old["Containers"][0]["Networks"] == [{"NetworkMode": "awsvpc", "IPv4Addresses": ["10.88.0.5"]}]


def test_names_are_the_same_for_the_next_node_agent_and_differ_between_tasks():
    one, again = facts(), facts()
    assert endpoint_id(one.spec, "app") == endpoint_id(again.spec, "app")
    assert one.container_arn("app") != one.container_arn("sidecar")
    other = TaskSpec("default/web-2", one.spec.task, one.spec.revision)
    assert endpoint_id(other, "app") != endpoint_id(one.spec, "app")
