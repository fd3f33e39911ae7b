"""Operations that are answered before they are done, and tags."""

from tests.unit.aws.cloud import refused, register


def test_an_operation_has_succeeded_when_every_proxy_has_acknowledged_it(cloud, client, name):
    cloud.inspector.lagging = True
    try:
        begun = client.create_http_namespace(Name=name)["OperationId"]
        assert client.get_operation(OperationId=begun)["Operation"]["Status"] == "PENDING"
        pending = [{"Name": "STATUS", "Condition": "IN", "Values": ["PENDING", "SUBMITTED"]}]
        assert {"Id": begun, "Status": "PENDING"} in client.list_operations(Filters=pending)["Operations"]
    finally:
        cloud.inspector.lagging = False
    told = client.get_operation(OperationId=begun)["Operation"]
    assert (told["Status"], told["Type"]) == ("SUCCESS", "CREATE_NAMESPACE")
    assert told["CreateDate"].tzinfo is not None


def test_operations_are_filtered(client, namespace, owner):
    register(client, owner, "i-1")
    mine = {"Name": "SERVICE_ID", "Values": [owner]}
    kind = {"Name": "TYPE", "Condition": "IN", "Values": ["REGISTER_INSTANCE"]}
    ever = {"Name": "UPDATE_DATE", "Condition": "BETWEEN", "Values": ["0", "9999999999"]}
    assert len(client.list_operations(Filters=[mine, kind, ever])["Operations"]) == 1
    with refused("OperationNotFound"):
        client.get_operation(OperationId="none")


# -- tags -------------------------------------------------------------------------------------------------------------


def test_namespaces_and_services_have_tags(client, namespace, owner):
    for arn in (
        client.get_namespace(Id=namespace)["Namespace"]["Arn"],
        client.get_service(Id=owner)["Service"]["Arn"],
    ):
        client.tag_resource(ResourceARN=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}])
        client.untag_resource(ResourceARN=arn, TagKeys=["a"])
        assert client.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "b", "Value": ""}]
        with refused("TooManyTagsException") as answer:
            client.tag_resource(ResourceARN=arn, Tags=[{"Key": f"k{n}", "Value": "v"} for n in range(50)])
        assert answer.error["ResourceName"] == arn
    with refused("ResourceNotFoundException"):
        client.list_tags_for_resource(ResourceARN=f"{arn}x")
