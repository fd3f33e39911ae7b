"""Asks Cloud Map who is there, as a program would that runs with AWS: by AWS's own SDK, configured by its variables alone."""

import boto3

client = boto3.client("servicediscovery")
for service in sorted(client.list_services()["Services"], key=lambda one: one["Name"]):
    found = client.discover_instances(NamespaceName="shop", ServiceName=service["Name"])["Instances"]
    addresses = sorted(
        f"{one['Attributes']['AWS_INSTANCE_IPV4']}:{one['Attributes']['AWS_INSTANCE_PORT']}" for one in found
    )
    print(f"{service['Name']}: {', '.join(addresses)}")
