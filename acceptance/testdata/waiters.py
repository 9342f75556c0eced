"""Every waiter of boto3 for what the article's services make, each after what it waits for."""
import io
import json
import zipfile

import boto3

quick = {"Delay": 1, "MaxAttempts": 90}


def client(name):
    return boto3.client(name)


def wait(of, name, **kwargs):
    of.get_waiter(name).wait(WaiterConfig=quick, **kwargs)


def ec2_and_load_balancers():
    ec2, elb = client("ec2"), client("elbv2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    ids = [i["InstanceId"] for i in ec2.run_instances(ImageId=image, MinCount=2, MaxCount=2)["Instances"]]
    for name in ["instance_exists", "instance_running", "instance_status_ok", "system_status_ok"]:
        wait(ec2, name, InstanceIds=ids)
    ec2.stop_instances(InstanceIds=ids[:1])
    wait(ec2, "instance_stopped", InstanceIds=ids[:1])
    ec2.start_instances(InstanceIds=ids[:1])
    wait(ec2, "instance_running", InstanceIds=ids[:1])
    pages = list(ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5}))
    assert sum(len(r["Instances"]) for p in pages for r in p["Reservations"]) == 2, pages

    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    arn = elb.create_load_balancer(Name="web", Subnets=["subnet-12345678", "subnet-87654321"])["LoadBalancers"][0]["LoadBalancerArn"]
    for name in ["load_balancer_exists", "load_balancer_available"]:
        wait(elb, name, LoadBalancerArns=[arn])
    group = elb.create_target_group(Name="t", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]["TargetGroupArn"]
    elb.create_listener(LoadBalancerArn=arn, Protocol="HTTP", Port=80, DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])
    targets = [{"Id": i} for i in ids]
    elb.register_targets(TargetGroupArn=group, Targets=targets)
    wait(elb, "target_in_service", TargetGroupArn=group, Targets=targets)
    elb.deregister_targets(TargetGroupArn=group, Targets=targets)
    wait(elb, "target_deregistered", TargetGroupArn=group, Targets=targets)
    elb.delete_load_balancer(LoadBalancerArn=arn)
    wait(elb, "load_balancers_deleted", LoadBalancerArns=[arn])
    ec2.terminate_instances(InstanceIds=ids)
    wait(ec2, "instance_terminated", InstanceIds=ids)


def ecs():
    ecs = client("ecs")
    ecs.create_cluster(clusterName="c")
    ecs.register_task_definition(family="t", containerDefinitions=[{"name": "app", "image": "nginx", "memory": 128}])
    ecs.create_service(cluster="c", serviceName="s", taskDefinition="t", desiredCount=2)
    wait(ecs, "services_stable", cluster="c", services=["s"])
    tasks = ecs.list_tasks(cluster="c")["taskArns"]
    wait(ecs, "tasks_running", cluster="c", tasks=tasks)
    ecs.stop_task(cluster="c", task=tasks[0])
    wait(ecs, "tasks_stopped", cluster="c", tasks=tasks[:1])
    ecs.delete_service(cluster="c", service="s", force=True)
    wait(ecs, "services_inactive", cluster="c", services=["s"])


def stacks():
    cloudformation = client("cloudformation")
    template = "Resources: {P: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Value: %s}}}"
    cloudformation.create_stack(StackName="s", TemplateBody=template % "a")
    wait(cloudformation, "stack_exists", StackName="s")
    wait(cloudformation, "stack_create_complete", StackName="s")
    cloudformation.create_change_set(StackName="s", ChangeSetName="c", TemplateBody=template % "b")
    wait(cloudformation, "change_set_create_complete", StackName="s", ChangeSetName="c")
    cloudformation.execute_change_set(StackName="s", ChangeSetName="c")
    wait(cloudformation, "stack_update_complete", StackName="s")
    cloudformation.delete_stack(StackName="s")
    wait(cloudformation, "stack_delete_complete", StackName="s")


def data():
    s3, kinesis, cloudwatch, iam = client("s3"), client("kinesis"), client("cloudwatch"), client("iam")
    wait(s3, "bucket_not_exists", Bucket="waited")
    s3.create_bucket(Bucket="waited")
    wait(s3, "bucket_exists", Bucket="waited")
    s3.put_object(Bucket="waited", Key="k", Body=b"x")
    wait(s3, "object_exists", Bucket="waited", Key="k")
    s3.delete_object(Bucket="waited", Key="k")
    wait(s3, "object_not_exists", Bucket="waited", Key="k")

    kinesis.create_stream(StreamName="s", ShardCount=1)
    wait(kinesis, "stream_exists", StreamName="s")
    kinesis.delete_stream(StreamName="s")
    wait(kinesis, "stream_not_exists", StreamName="s")

    cloudwatch.put_metric_alarm(AlarmName="a", ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1, MetricName="m", Namespace="n", Period=60, Statistic="Sum", Threshold=1)
    wait(cloudwatch, "alarm_exists", AlarmNames=["a"])
    cloudwatch.put_composite_alarm(AlarmName="b", AlarmRule="ALARM(a)")
    wait(cloudwatch, "composite_alarm_exists", AlarmNames=["b"], AlarmTypes=["CompositeAlarm"])

    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust)
    wait(iam, "role_exists", RoleName="r")
    policy = iam.create_policy(PolicyName="p", PolicyDocument=trust)["Policy"]["Arn"]
    wait(iam, "policy_exists", PolicyArn=policy)
    iam.create_instance_profile(InstanceProfileName="i")
    wait(iam, "instance_profile_exists", InstanceProfileName="i")


def function():
    functions, body = client("lambda"), io.BytesIO()
    with zipfile.ZipFile(body, "w") as z:
        z.writestr("index.py", "def handler(event, context):\n    return event\n")
    role = client("iam").get_role(RoleName="r")["Role"]["Arn"]
    functions.create_function(FunctionName="f", Runtime="python3.12", Handler="index.handler", Role=role, Code={"ZipFile": body.getvalue()})
    for name in ["function_exists", "function_active", "function_active_v2", "function_updated", "function_updated_v2"]:
        wait(functions, name, FunctionName="f")
    assert json.load(functions.invoke(FunctionName="f", Payload=b'{"a": 1}')["Payload"]) == {"a": 1}
    functions.publish_version(FunctionName="f")
    wait(functions, "published_version_active", FunctionName="f", Qualifier="1")


for part in [ec2_and_load_balancers, ecs, stacks, data, function]:
    part()
print("done")
