"""Each of AWS's rules for Service Connect, once: what is refused as in AWS, warned of, or taken here though AWS would not.

A row is named by its rule; docs/service-connect.md lists them by these names.
"""

import copy
import json

import pytest

from tsunagu.model.manifests.formats import Source, read_all
from tsunagu.model.plan import plan
from tsunagu.model.rules.validate import check_batch

DEFINITION = {
    "kind": "TaskDefinition",
    "family": "web",
    "networkMode": "awsvpc",
    "memory": "512",
    "containerDefinitions": [
        {
            "name": "web",
            "image": "web",
            "command": ["serve"],
            "portMappings": [
                {"name": "http", "containerPort": 80, "appProtocol": "http"},
                {"name": "raw", "containerPort": 90},
            ],
        },
    ],
}
SERVICE = {
    "kind": "Service",
    "serviceName": "web",
    "taskDefinition": "web",
    "desiredCount": 1,
    "serviceConnectConfiguration": {
        "enabled": True,
        "namespace": "shop",
        "services": [
            {"portName": "http", "clientAliases": [{"port": 80, "dnsName": "web"}]},
            {"portName": "raw", "clientAliases": [{"port": 90, "dnsName": "web"}]},
        ],
    },
}
ANOTHER = {**copy.deepcopy(SERVICE), "serviceName": "another"}
ANOTHER["serviceConnectConfiguration"]["services"] = [
    {"portName": "http", "discoveryName": "another", "clientAliases": [{"port": 80, "dnsName": "another"}]}
]
CONTAINER = ("containerDefinitions", 0)
MAPPING = (*CONTAINER, "portMappings", 0)
CONNECT = ("serviceConnectConfiguration",)
HTTP, RAW = (*CONNECT, "services", 0), (*CONNECT, "services", 1)
ALIAS = (*HTTP, "clientAliases", 0)


def put(document, path, value):
    *way, last = path
    for step in way:
        document = document[step]
    document[last] = value


def planned(*, definition=(), service=(), others=()):
    """The plan of the web service with these (path, value) put into its documents."""
    documents = [copy.deepcopy(DEFINITION), copy.deepcopy(SERVICE), *others]
    for number, edits in enumerate((definition, service)):
        for path, value in edits:
            put(documents[number], path, value)
    text = "\n---\n".join(map(json.dumps, documents))
    reading = read_all([Source("web.yaml", text)])
    return plan(reading.documents, {}, folders={"web.yaml": "/mesh"}, faults=reading.issues)


def edit(*pairs):
    return list(zip(pairs[::2], pairs[1::2], strict=True))


def test_no_manifest_makes_a_service_a_program_of_its_machine():
    (fault,) = planned(service=edit(("host",), True)).issues
    assert "host" in str(fault)
    (fault,) = planned(service=edit(("tsunagu",), {"host": True})).issues
    assert "host" in str(fault)


def test_what_calls_as_its_machine_hangs_on_a_lease_and_offers_nothing():
    def marked(lease, **edits):
        objects = [change.object for change in planned(**edits).changes]
        (found,) = [obj for obj in objects if obj.HasField("service")]
        found.service.host, found.meta.lease = True, lease
        return [(one.path, one.message) for one in check_batch(objects, [], {})]

    calls_only = {"service": edit((*CONNECT, "services"), [])}
    assert marked("connect-1", **calls_only) == []
    assert marked("", **calls_only) == [("host", "only a service that hangs on a lease calls as its node's machine")]
    assert marked("connect-1") == [
        ("serviceConnectConfiguration.services", "a service that calls as its node's machine offers nothing")
    ]


REFUSED = {
    "networkMode host": ({"definition": edit(("networkMode",), "host")}, "use awsvpc or bridge"),
    "networkMode none": ({"definition": edit(("networkMode",), "none")}, "use awsvpc or bridge"),
    "port name": ({"definition": edit((*MAPPING, "name"), "Http")}, "'Http' is not valid"),
    "port name length": ({"definition": edit((*MAPPING, "name"), "h" * 65)}, "1 to 64 lowercase letters"),
    "appProtocol": ({"definition": edit((*MAPPING, "appProtocol"), "http1")}, "is none of"),
    "udp": ({"definition": edit((*CONTAINER, "portMappings", 1, "protocol"), "udp")}, "Service Connect carries tcp"),
    "portName": ({"service": edit((*HTTP, "portName"), "htpp")}, "has no port named 'htpp'"),
    "discoveryName": ({"service": edit((*HTTP, "discoveryName"), "-web")}, "'-web' is not valid"),
    "discoveryName unique": (
        {"service": edit((*HTTP, "discoveryName"), "another"), "others": [ANOTHER]},
        "the discovery name 'another' already belongs to service default/another",
    ),
    "clientAliases one": (
        {"service": edit((*HTTP, "clientAliases"), [{"port": 80, "dnsName": "a"}, {"port": 81, "dnsName": "b"}])},
        "has more than one alias",
    ),
    "alias unique": (
        {"service": edit((*ALIAS, "dnsName"), "another"), "others": [ANOTHER]},
        "another:80 already belongs to service default/another",
    ),
    "dnsName": ({"service": edit((*ALIAS, "dnsName"), "-web")}, "'-web' is not valid"),
    "dnsName length": ({"service": edit((*ALIAS, "dnsName"), "a" * 63 + "." + "b" * 64)}, "at most 127"),
    "alias port": ({"service": edit((*ALIAS, "port"), 65536)}, "it must be 1 to 65535"),
    "ingressPortOverride": ({"service": edit((*HTTP, "ingressPortOverride"), 65536)}, "it must be 0 to 65535"),
    "ingressPortOverride of a container": ({"service": edit((*HTTP, "ingressPortOverride"), 90)}, "is a containerPort"),
    "ingressPortOverride twice": (
        {"service": edit((*HTTP, "ingressPortOverride"), 8443, (*RAW, "ingressPortOverride"), 8443)},
        "is the ingress port of two of its services",
    ),
    "timeout": ({"service": edit((*HTTP, "timeout"), {"idleTimeoutSeconds": -1})}, "it must be 0 to 2147483647"),
    "request timeout of tcp": (
        {"service": edit((*RAW, "timeout"), {"perRequestTimeoutSeconds": 5})},
        "it is tcp, which has no requests",
    ),
    "access log format": ({"service": edit((*CONNECT, "accessLogConfiguration"), {})}, "format"),
    "includeQueryParameters": (
        {"service": edit((*CONNECT, "accessLogConfiguration"), {"format": "TEXT", "includeQueryParameters": "yes"})},
        "is none of",
    ),
    "logLevel": ({"service": edit((*CONNECT, "containerConfigurations"), [{"logLevel": "trace"}])}, "is none of"),
    "one setting each": ({"service": edit((*CONNECT, "containerConfigurations"), [{}])}, "exactly one of"),
    "each setting once": (
        {"service": edit((*CONNECT, "containerConfigurations"), [{"logLevel": "info"}, {"logLevel": "debug"}])},
        "logLevel is given twice",
    ),
    "log group": (
        {
            "service": edit(
                (*CONNECT, "logConfiguration"), {"logDriver": "awslogs", "options": {"awslogs-group": "a b"}}
            )
        },
        "'a b' is not valid",
    ),
    "log group within": (
        {
            "service": edit(
                (*CONNECT, "logConfiguration"), {"logDriver": "awslogs", "options": {"awslogs-group": "/../a"}}
            )
        },
        "'/../a' is not valid",
    ),
    "stream prefix": (
        {
            "service": edit(
                (*CONNECT, "logConfiguration"),
                {"logDriver": "awslogs", "options": {"awslogs-group": "a", "awslogs-stream-prefix": "a:b"}},
            )
        },
        "'a:b' is not valid",
    ),
    "logDriver": ({"service": edit((*CONNECT, "logConfiguration"), {"logDriver": "cloudwatch"})}, "is none of"),
    "namespace": ({"service": edit((*CONNECT, "namespace"), "")}, "cluster 'default' has no default"),
    "Windows": (
        {"definition": edit(("runtimePlatform",), {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"})},
        "is not supported",
    ),
    "EXTERNAL launch type": ({"service": edit(("launchType",), "EXTERNAL")}, "has no Service Connect"),
    "CODE_DEPLOY": ({"service": edit(("deploymentController",), {"type": "CODE_DEPLOY"})}, "has no Service Connect"),
    "EXTERNAL controller": (
        {"service": edit(("deploymentController",), {"type": "EXTERNAL"})},
        "has no Service Connect",
    ),
    "links": (
        {"definition": edit(("networkMode",), "bridge", (*CONTAINER, "links"), ["web"])},
        "has links, which Service Connect does not support",
    ),
    "1000 tasks": ({"service": edit(("desiredCount",), 1001)}, "it must be 0 to 1000"),
}

WARNED = {
    "task memory": ({"definition": edit(("memory",), "")}, "AWS would not start it with Service Connect; here it runs"),
    "hostname in bridge mode": (
        {"definition": edit(("networkMode",), "bridge", (*CONTAINER, "hostname"), "web")},
        "which AWS refuses with Service Connect",
    ),
    "access log without logConfiguration": (
        {"service": edit((*CONNECT, "accessLogConfiguration"), {"format": "TEXT"})},
        "AWS wants logConfiguration beside it",
    ),
    "another log driver": (
        {"service": edit((*CONNECT, "logConfiguration"), {"logDriver": "splunk"})},
        "nothing is sent to splunk here",
    ),
    "awslogs without a group": (
        {"service": edit((*CONNECT, "logConfiguration"), {"logDriver": "awslogs"})},
        "AWS wants awslogs-group",
    ),
    "no dnsName": (
        {"service": edit((*HTTP, "clientAliases"), [{"port": 80}])},
        "has no dnsName; callers may use http or http.shop",
    ),
    "no clientAliases": (
        {"service": edit(HTTP, {"portName": "http"})},
        "has no dnsName; callers may use http or http.shop",
    ),
}

ACCEPTED = {
    "as it is": {},
    "networkMode bridge": {"definition": edit(("networkMode",), "bridge")},
    "networkMode left out": {"definition": edit(("networkMode",), "")},
    "ingressPortOverride 0": {"service": edit((*HTTP, "ingressPortOverride"), 0)},
    "timeouts 0": {"service": edit((*HTTP, "timeout"), {"idleTimeoutSeconds": 0, "perRequestTimeoutSeconds": 0})},
    "a client": {"service": edit((*CONNECT, "services"), [])},
    "log group": {
        "service": edit((*CONNECT, "logConfiguration"), {"logDriver": "awslogs", "options": {"awslogs-group": "/a/b"}})
    },
    "1000 tasks": {"service": edit(("desiredCount",), 1000)},
}


@pytest.mark.parametrize("rule", REFUSED)
def test_refused_as_in_aws(rule):
    edits, words = REFUSED[rule]
    made = planned(**edits)
    assert made.changes == ()
    assert any(words in str(one) for one in made.issues), [str(one) for one in made.issues]


@pytest.mark.parametrize("rule", WARNED)
def test_taken_with_a_warning(rule):
    edits, words = WARNED[rule]
    made = planned(**edits)
    assert made.issues == ()
    assert [one for one in made.warnings if words in one] == list(made.warnings) != []


@pytest.mark.parametrize("rule", ACCEPTED)
def test_taken_without_a_word(rule):
    made = planned(**ACCEPTED[rule])
    assert made.issues == ()
    assert made.warnings == ()
    assert made.changes != ()
