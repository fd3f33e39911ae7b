// AWS's JavaScript SDK against the endpoint of a mesh, in the protocol that its first argument names: json or cbor.
import assert from "node:assert/strict";
import * as sd from "@aws-sdk/client-servicediscovery";
import { AwsJson1_1Protocol, AwsSmithyRpcV2CborProtocol } from "@aws-sdk/core/protocols";

const protocols = { json: AwsJson1_1Protocol, cbor: AwsSmithyRpcV2CborProtocol };
const spoken = [];
const client = new sd.ServiceDiscoveryClient({
  endpoint: process.env.ENDPOINT,
  disableHostPrefix: true,
  maxAttempts: 1,
  protocol: protocols[process.argv[2]],
});
client.middlewareStack.add(
  (next) => async (args) => {
    const answer = await next(args);
    spoken.push(answer.response.headers["content-type"]);
    return answer;
  },
  { step: "deserialize", priority: "low" },
);
const send = (command) => client.send(command);

async function succeeded({ OperationId }) {
  for (let tries = 0; tries < 200; tries++) {
    const { Operation } = await send(new sd.GetOperationCommand({ OperationId }));
    if (Operation.Status === "SUCCESS") return Operation;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the operation did not succeed");
}

const Name = `js-${process.argv[2]}`;
const made = await succeeded(await send(new sd.CreateHttpNamespaceCommand({ Name, Tags: [{ Key: "a", Value: "ü" }] })));
assert.ok(made.CreateDate instanceof Date);
const NamespaceId = made.Targets.NAMESPACE;
const { Service } = await send(
  new sd.CreateServiceCommand({ Name: "api", NamespaceId, HealthCheckCustomConfig: {}, Description: "from JavaScript" }),
);
for (const InstanceId of ["one", "two"]) {
  const Attributes = { AWS_INSTANCE_IPV4: "10.1.2.3", AWS_INSTANCE_PORT: "80", InstanceId };
  await succeeded(await send(new sd.RegisterInstanceCommand({ ServiceId: Service.Id, InstanceId, Attributes })));
}
await send(
  new sd.UpdateInstanceCustomHealthStatusCommand({ ServiceId: Service.Id, InstanceId: "two", Status: "UNHEALTHY" }),
);
const where = { NamespaceName: Name, ServiceName: "api" };
const found = await send(new sd.DiscoverInstancesCommand(where));
assert.deepEqual(found.Instances.map((one) => [one.InstanceId, one.HealthStatus]), [["one", "HEALTHY"]]);
const revision = await send(new sd.DiscoverInstancesRevisionCommand(where));
assert.equal(revision.InstancesRevision, found.InstancesRevision);
const listed = [];
for await (const page of sd.paginateListInstances({ client, pageSize: 1 }, { ServiceId: Service.Id })) {
  listed.push(...page.Instances.map((one) => one.Id));
}
assert.deepEqual(listed, ["one", "two"]);
await assert.rejects(send(new sd.DeleteServiceCommand({ Id: Service.Id })), sd.ResourceInUse);
await assert.rejects(send(new sd.CreateHttpNamespaceCommand({ Name })), (error) => {
  assert.ok(error instanceof sd.NamespaceAlreadyExists);
  assert.equal(error.NamespaceId, NamespaceId);
  return true;
});
await assert.rejects(send(new sd.ListNamespacesCommand({ MaxResults: 1000 })), sd.InvalidInput);
for (const InstanceId of listed) {
  await succeeded(await send(new sd.DeregisterInstanceCommand({ ServiceId: Service.Id, InstanceId })));
}
await send(new sd.DeleteServiceCommand({ Id: Service.Id }));
await succeeded(await send(new sd.DeleteNamespaceCommand({ Id: NamespaceId })));
const expected = { json: "application/x-amz-json-1.1", cbor: "application/cbor" }[process.argv[2]];
assert.ok(spoken.length > 10 && spoken.every((kind) => kind === expected), spoken.join());
console.log(`${spoken.length} answers in ${expected}`);
