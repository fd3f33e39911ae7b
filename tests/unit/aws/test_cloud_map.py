"""The thirty operations of Cloud Map, through boto3, in both protocols."""

import pytest

from tests.unit.aws.cloud import made, refused, register
from tsunagu.aws.cloud_map.table import OPERATIONS, service
from tsunagu.model import ids
from tsunagu.v1 import objects_pb2


def discovered(client, name, **asked):
    found = client.discover_instances(NamespaceName=name, ServiceName="api", **asked)
    return sorted(one["InstanceId"] for one in found["Instances"])


def test_every_operation_of_the_model_is_answered():
    assert set(OPERATIONS) == set(service(None).model.operation_names)


# -- namespaces -------------------------------------------------------------------------------------------------------


def test_a_namespace_is_made_told_changed_and_deleted(client, name):
    identifier = made(client, client.create_http_namespace(Name=name, Description="first", CreatorRequestId="a" + name))
    told = client.get_namespace(Id=identifier)["Namespace"]
    assert (told["Name"], told["Type"], told["Description"], told["ServiceCount"]) == (name, "HTTP", "first", 0)
    assert told["Arn"].endswith(f":namespace/{identifier}")
    made(client, client.update_http_namespace(Id=identifier, Namespace={"Description": "second"}))
    assert client.get_namespace(Id=told["Arn"])["Namespace"]["Description"] == "second"
    made(client, client.delete_namespace(Id=identifier))
    with refused("NamespaceNotFound") as answer:
        client.get_namespace(Id=identifier)
    assert (answer.message, answer.status) == (identifier, 404)


def test_dns_namespaces_have_a_zone_and_an_soa(client, name):
    soa = {"DnsProperties": {"SOA": {"TTL": 30}}}
    private = made(client, client.create_private_dns_namespace(Name=name, Vpc="vpc-1", Properties=soa))
    public = made(client, client.create_public_dns_namespace(Name=f"{name}.example.com"))
    told = client.get_namespace(Id=private)["Namespace"]
    assert told["Type"] == "DNS_PRIVATE"
    assert told["Properties"]["DnsProperties"]["SOA"] == {"TTL": 30}
    assert told["Properties"]["DnsProperties"]["HostedZoneId"].startswith("Z")
    made(client, client.update_public_dns_namespace(Id=public, Namespace={"Properties": soa}))
    made(client, client.update_private_dns_namespace(Id=private, Namespace={"Description": "x"}))
    assert client.get_namespace(Id=public)["Namespace"]["Properties"]["DnsProperties"]["SOA"] == {"TTL": 30}
    with refused("InvalidInput"):
        client.update_http_namespace(Id=public, Namespace={"Description": "it is none"})


def test_the_same_request_again_is_the_same_operation(client, name):
    first = client.create_http_namespace(Name=name, CreatorRequestId=name)
    assert client.create_http_namespace(Name=name, CreatorRequestId=name)["OperationId"] == first["OperationId"]
    with refused("DuplicateRequest") as answer:
        client.create_http_namespace(Name=name + "x", CreatorRequestId=name)
    assert answer.error["DuplicateOperationId"] == first["OperationId"]
    assert answer.status == 409


def test_a_name_is_taken_once(client, name, namespace):
    with refused("NamespaceAlreadyExists") as answer:
        client.create_http_namespace(Name=name)
    assert answer.error["NamespaceId"] == namespace


def test_a_name_that_the_mesh_cannot_have_is_refused_with_the_reason(client):
    with refused("InvalidInput") as answer:
        client.create_http_namespace(Name="a/b")
    assert "letters, digits" in answer.message or "is not valid" in answer.message


def test_a_namespace_with_a_service_stays(client, namespace, owner):
    with refused("ResourceInUse") as answer:
        client.delete_namespace(Id=namespace)
    assert "api" in answer.message


def test_namespaces_are_listed_in_pages_and_filtered(client, name):
    wanted = [made(client, client.create_http_namespace(Name=f"{name}-{index}")) for index in range(3)]
    filters = [{"Name": "NAME", "Condition": "BEGINS_WITH", "Values": [name]}]
    pages = client.get_paginator("list_namespaces").paginate(Filters=filters, PaginationConfig={"PageSize": 2})
    assert [[one["Id"] for one in page["Namespaces"]] for page in pages] == [wanted[:2], wanted[2:]]
    public = [*filters, {"Name": "TYPE", "Values": ["DNS_PUBLIC"]}]
    assert client.list_namespaces(Filters=public)["Namespaces"] == []
    for identifier in wanted:
        client.delete_namespace(Id=identifier)


@pytest.mark.parametrize(
    "filters",
    [
        [{"Name": "TYPE", "Condition": "BETWEEN", "Values": ["a", "b"]}],
        [{"Name": "NAME", "Values": ["a", "b"]}],
    ],
)
def test_a_filter_that_is_none_is_refused(client, filters):
    with refused("InvalidInput"):
        client.list_namespaces(Filters=filters)


def test_a_token_that_was_not_given_out_is_refused(client):
    with refused("InvalidInput") as answer:
        client.list_namespaces(NextToken="next")
    assert "NextToken" in answer.message


# -- services ---------------------------------------------------------------------------------------------------------


def test_a_service_is_made_told_changed_and_deleted(client, namespace):
    dns = {"DnsRecords": [{"Type": "A", "TTL": 60}, {"Type": "SRV", "TTL": 10}], "RoutingPolicy": "WEIGHTED"}
    identifier = client.create_service(
        Name="db", NamespaceId=namespace, DnsConfig=dns, HealthCheckConfig={"Type": "TCP", "FailureThreshold": 2}
    )["Service"]["Id"]
    told = client.get_service(Id=identifier)["Service"]
    assert (told["Name"], told["NamespaceId"], told["DnsConfig"]) == ("db", namespace, dns)
    assert told["HealthCheckConfig"] == {"Type": "TCP", "FailureThreshold": 2}
    change = {"Description": "new", "DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": 5}]}}
    assert made(client, client.update_service(Id=identifier, Service=change), "SERVICE") == identifier
    told = client.get_service(Id=told["Arn"])["Service"]
    assert told["DnsConfig"] == {"DnsRecords": [{"Type": "A", "TTL": 5}], "RoutingPolicy": "WEIGHTED"}
    assert "HealthCheckConfig" not in told  # what an update leaves out is deleted
    client.delete_service(Id=identifier)
    with refused("ServiceNotFound"):
        client.get_service(Id=identifier)


def test_the_same_service_again_is_the_same_one(client, namespace):
    one = client.create_service(Name="db", NamespaceId=namespace, CreatorRequestId="one")["Service"]
    assert client.create_service(Name="db", NamespaceId=namespace, CreatorRequestId="one")["Service"]["Id"] == one["Id"]
    with refused("ServiceAlreadyExists") as answer:
        client.create_service(Name="db", NamespaceId=namespace)
    assert (answer.error["ServiceId"], answer.error["CreatorRequestId"]) == (one["Id"], "one")


def test_a_service_needs_a_namespace(client):
    with refused("InvalidInput"):
        client.create_service(Name="db")
    with refused("NamespaceNotFound"):
        client.create_service(Name="db", NamespaceId="ns-none")


def test_services_are_listed_by_namespace(client, namespace, owner):
    filters = [{"Name": "NAMESPACE_ID", "Values": [namespace]}]
    assert [one["Id"] for one in client.list_services(Filters=filters)["Services"]] == [owner]


def test_a_service_with_instances_stays(client, owner):
    register(client, owner, "i-1")
    with refused("ResourceInUse"):
        client.delete_service(Id=owner)


def test_attributes_of_a_service_are_merged_and_limited(client, owner):
    client.update_service_attributes(ServiceId=owner, Attributes={"a": "1", "b": "2"})
    client.update_service_attributes(ServiceId=owner, Attributes={"b": "3"})
    client.delete_service_attributes(ServiceId=owner, Attributes=["a", "none"])
    assert client.get_service_attributes(ServiceId=owner)["ServiceAttributes"]["Attributes"] == {"b": "3"}
    with refused("ServiceAttributesLimitExceededException"):
        client.update_service_attributes(ServiceId=owner, Attributes={f"k{n}": "v" for n in range(30)})


# -- instances --------------------------------------------------------------------------------------------------------


def test_an_instance_is_registered_told_and_deregistered(client, owner):
    assert made(client, register(client, owner, "i-1", key="value"), "INSTANCE") == "i-1"
    told = client.get_instance(ServiceId=owner, InstanceId="i-1")["Instance"]
    assert (told["Id"], told["Attributes"]) == ("i-1", {"key": "value"})
    register(client, owner, "i-1", key="other")  # the same ID again changes it
    [listed] = client.list_instances(ServiceId=owner)["Instances"]
    assert listed["Attributes"] == {"key": "other"}
    made(client, client.deregister_instance(ServiceId=owner, InstanceId="i-1"), "INSTANCE")
    with refused("InstanceNotFound") as answer:
        client.get_instance(ServiceId=owner, InstanceId="i-1")
    assert answer.message == "i-1"


def test_attributes_that_are_not_right_are_refused_with_the_reason(client, owner):
    with refused("InvalidInput") as answer:
        register(client, owner, "i-1", AWS_INSTANCE_IPV4="not.an.address")
    assert "'not.an.address' is not an IPv4 address" in answer.message


def test_discover_finds_by_attributes_and_narrows_by_optional_ones(client, name, owner):
    for index, color in enumerate(("red", "red", "blue")):
        register(client, owner, f"i-{index}", color=color, size=str(index))
    assert discovered(client, name) == ["i-0", "i-1", "i-2"]
    assert discovered(client, name, QueryParameters={"color": "red"}) == ["i-0", "i-1"]
    narrowed = {"QueryParameters": {"color": "red"}, "OptionalParameters": {"size": "1"}}
    assert discovered(client, name, **narrowed) == ["i-1"]
    assert discovered(client, name, OptionalParameters={"size": "9"}) == ["i-0", "i-1", "i-2"]
    assert len(discovered(client, name, MaxResults=2)) == 2


def test_discover_follows_custom_health(client, name, owner):
    for index in range(2):
        register(client, owner, f"i-{index}")
    register(client, owner, "i-2", AWS_INIT_HEALTH_STATUS="UNHEALTHY")
    client.update_instance_custom_health_status(ServiceId=owner, InstanceId="i-0", Status="UNHEALTHY")
    assert discovered(client, name) == ["i-1"]
    assert discovered(client, name, HealthStatus="UNHEALTHY") == ["i-0", "i-2"]
    assert discovered(client, name, HealthStatus="HEALTHY_OR_ELSE_ALL") == ["i-1"]
    client.update_instance_custom_health_status(ServiceId=owner, InstanceId="i-1", Status="UNHEALTHY")
    assert discovered(client, name, HealthStatus="HEALTHY_OR_ELSE_ALL") == ["i-0", "i-1", "i-2"]
    status = client.get_instances_health_status(ServiceId=owner)["Status"]
    assert status == dict.fromkeys(["i-0", "i-1", "i-2"], "UNHEALTHY")


def test_custom_health_needs_its_configuration(client, namespace):
    plain = client.create_service(Name="plain", NamespaceId=namespace)["Service"]["Id"]
    register(client, plain, "i-1")
    with refused("CustomHealthNotFound") as answer:
        client.update_instance_custom_health_status(ServiceId=plain, InstanceId="i-1", Status="HEALTHY")
    assert answer.status == 404


def test_the_revision_grows_with_instances_and_not_with_health(client, name, owner):
    def revision():
        return client.discover_instances_revision(NamespaceName=name, ServiceName="api")["InstancesRevision"]

    register(client, owner, "i-1", AWS_INSTANCE_IPV4="10.0.0.1", AWS_INSTANCE_PORT="80")
    first = revision()
    client.update_instance_custom_health_status(ServiceId=owner, InstanceId="i-1", Status="UNHEALTHY")
    assert revision() == first
    register(client, owner, "i-2")
    second = revision()
    assert second > first
    client.deregister_instance(ServiceId=owner, InstanceId="i-1")
    assert revision() > second
    assert client.discover_instances(NamespaceName=name, ServiceName="api")["InstancesRevision"] == revision()


def test_discover_knows_names_that_are_not_there(client, name, namespace):
    with refused("NamespaceNotFound"):
        client.discover_instances(NamespaceName="nowhere", ServiceName="api")
    with refused("ServiceNotFound"):
        client.discover_instances_revision(NamespaceName=name, ServiceName="none")


def test_instances_are_listed_in_the_order_in_which_they_came(client, owner):
    for instance in ("b", "a", "c"):
        register(client, owner, instance)
    pages = client.get_paginator("list_instances").paginate(ServiceId=owner, PaginationConfig={"PageSize": 2})
    assert [one["Id"] for page in pages for one in page["Instances"]] == ["b", "a", "c"]


def test_a_service_has_a_thousand_instances_at_most(cloud, client, name, owner):
    body = objects_pb2.CloudMapInstance()
    cloud.put(*(ids.make("CloudMapInstance", f"{name}/api/i-{index}", body) for index in range(1000)))
    with refused("ResourceLimitExceeded"):
        register(client, owner, "one-more")
    register(client, owner, "i-7", again="yes")
    assert len(discovered(client, name)) == 100
