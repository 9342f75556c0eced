"use strict";
// Calls of the unmodified SDK for JavaScript, each followed by a look at what has happened.
const assert = require("node:assert");
const { S3, waitUntilBucketExists, waitUntilObjectExists } = require("@aws-sdk/client-s3");
const { CloudWatch } = require("@aws-sdk/client-cloudwatch");
const { Kinesis, waitUntilStreamExists } = require("@aws-sdk/client-kinesis");
const { SecretsManager } = require("@aws-sdk/client-secrets-manager");
const { SSM } = require("@aws-sdk/client-ssm");
const { STS } = require("@aws-sdk/client-sts");
const { EC2, waitUntilInstanceRunning, waitUntilInstanceTerminated, paginateDescribeInstances } = require("@aws-sdk/client-ec2");
const { AutoScaling } = require("@aws-sdk/client-auto-scaling");
const { CloudFormation, waitUntilStackCreateComplete, waitUntilStackDeleteComplete } = require("@aws-sdk/client-cloudformation");

const patient = (client) => ({ client, maxWaitTime: 120, minDelay: 1, maxDelay: 2 });

async function main() {
  assert.equal((await new STS().getCallerIdentity()).Account, "000000000000");

  const s3 = new S3();
  await s3.createBucket({ Bucket: "js-bucket" });
  await waitUntilBucketExists(patient(s3), { Bucket: "js-bucket" });
  await s3.putObject({ Bucket: "js-bucket", Key: "a b+é.txt", Body: "content", ContentType: "text/plain" });
  await waitUntilObjectExists(patient(s3), { Bucket: "js-bucket", Key: "a b+é.txt" });
  assert.equal(await (await s3.getObject({ Bucket: "js-bucket", Key: "a b+é.txt" })).Body.transformToString(), "content");
  assert.deepEqual((await s3.listObjectsV2({ Bucket: "js-bucket" })).Contents.map((o) => o.Key), ["a b+é.txt"]);

  const cloudwatch = new CloudWatch();
  const MetricData = Array.from({ length: 400 }, (_, i) => ({ MetricName: "latency", Value: i, Unit: "Milliseconds", Dimensions: [{ Name: "n", Value: "a long enough name to be compressed" }] }));
  await cloudwatch.putMetricData({ Namespace: "JS", MetricData });
  const found = await cloudwatch.getMetricStatistics({
    Namespace: "JS", MetricName: "latency", Dimensions: [{ Name: "n", Value: "a long enough name to be compressed" }], Statistics: ["SampleCount", "Maximum"], Period: 86400,
    StartTime: new Date(Date.now() - 86400e3), EndTime: new Date(Date.now() + 86400e3),
  });
  assert.equal(found.Datapoints.reduce((n, d) => n + d.SampleCount, 0), 400);
  await assert.rejects(cloudwatch.setAlarmState({ AlarmName: "nope", StateValue: "OK", StateReason: "r" }), { name: /ResourceNotFound/ });

  const kinesis = new Kinesis();
  await kinesis.createStream({ StreamName: "js", ShardCount: 1 });
  await waitUntilStreamExists(patient(kinesis), { StreamName: "js" });
  await kinesis.putRecords({ StreamName: "js", Records: [{ PartitionKey: "a", Data: Buffer.from("one") }, { PartitionKey: "a", Data: Buffer.from("two") }] });
  const { ShardIterator } = await kinesis.getShardIterator({ StreamName: "js", ShardId: "shardId-000000000000", ShardIteratorType: "TRIM_HORIZON" });
  assert.deepEqual((await kinesis.getRecords({ ShardIterator })).Records.map((r) => Buffer.from(r.Data).toString()), ["one", "two"]);

  const secrets = new SecretsManager();
  await secrets.createSecret({ Name: "js", SecretString: "s" });
  assert.equal((await secrets.getSecretValue({ SecretId: "js" })).SecretString, "s");
  await assert.rejects(secrets.getSecretValue({ SecretId: "nope" }), { name: "ResourceNotFoundException" });

  const ssm = new SSM();
  await ssm.putParameter({ Name: "/js/a", Value: "v", Type: "SecureString" });
  assert.equal((await ssm.getParameter({ Name: "/js/a", WithDecryption: true })).Parameter.Value, "v");
  await assert.rejects(ssm.getParameter({ Name: "/js/b" }), { name: "ParameterNotFound" });

  const ec2 = new EC2(), scaling = new AutoScaling();
  await scaling.createAutoScalingGroup({ AutoScalingGroupName: "js", LaunchTemplate: { LaunchTemplateName: "MyTemplate" }, MinSize: 1, MaxSize: 1, VPCZoneIdentifier: "subnet-12345678" });
  const instances = async () => {
    const all = [];
    for await (const page of paginateDescribeInstances({ client: ec2, pageSize: 5 }, { Filters: [{ Name: "instance-state-name", Values: ["pending", "running"] }] })) {
      all.push(...page.Reservations.flatMap((r) => r.Instances.map((i) => i.InstanceId)));
    }
    return all;
  };
  const InstanceIds = await instances();
  assert.equal(InstanceIds.length, 1);
  await waitUntilInstanceRunning(patient(ec2), { InstanceIds });
  await scaling.deleteAutoScalingGroup({ AutoScalingGroupName: "js", ForceDelete: true });
  await waitUntilInstanceTerminated(patient(ec2), { InstanceIds });
  await assert.rejects(ec2.describeInstances({ InstanceIds: ["i-0123456789abcdef0"] }), { name: "InvalidInstanceID.NotFound" });

  const cloudformation = new CloudFormation();
  await cloudformation.createStack({ StackName: "js", TemplateBody: "Resources: {P: {Type: 'AWS::SSM::Parameter', Properties: {Name: /js/stack, Type: String, Value: v}}}" });
  await waitUntilStackCreateComplete(patient(cloudformation), { StackName: "js" });
  assert.equal((await ssm.getParameter({ Name: "/js/stack" })).Parameter.Value, "v");
  await cloudformation.deleteStack({ StackName: "js" });
  await waitUntilStackDeleteComplete(patient(cloudformation), { StackName: "js" });
  await assert.rejects(ssm.getParameter({ Name: "/js/stack" }), { name: "ParameterNotFound" });
  console.log("done");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
