package iam

import (
	"encoding/json"
	"strings"
	"time"

	"showrunner/awsapi/wire"
)

// managed are policies of AWS's own that tools name most, by path and name, with what
// they allow. A role may be given any other one by its name too.
var managed = map[string][]string{
	"/AdministratorAccess": {"*"},
	"/PowerUserAccess":     {"!iam:*", "!organizations:*", "!account:*"},
	"/ReadOnlyAccess":      {"*:Describe*", "*:Get*", "*:List*"},
	"/IAMFullAccess":       {"iam:*", "organizations:DescribeAccount", "organizations:ListRoots"},
	"/IAMReadOnlyAccess":   {"iam:GenerateCredentialReport", "iam:GenerateServiceLastAccessedDetails", "iam:Get*", "iam:List*", "iam:SimulateCustomPolicy", "iam:SimulatePrincipalPolicy"},

	"/AmazonS3FullAccess":                          {"s3:*", "s3-object-lambda:*"},
	"/AmazonS3ReadOnlyAccess":                      {"s3:Get*", "s3:List*", "s3:Describe*", "s3-object-lambda:Get*", "s3-object-lambda:List*"},
	"/AmazonEC2FullAccess":                         {"ec2:*", "elasticloadbalancing:*", "cloudwatch:*", "autoscaling:*"},
	"/AmazonEC2ReadOnlyAccess":                     {"ec2:Describe*", "elasticloadbalancing:Describe*", "cloudwatch:ListMetrics", "cloudwatch:GetMetricStatistics", "cloudwatch:Describe*", "autoscaling:Describe*"},
	"/AutoScalingFullAccess":                       {"autoscaling:*", "cloudwatch:PutMetricAlarm", "ec2:Describe*", "elasticloadbalancing:Describe*"},
	"/ElasticLoadBalancingFullAccess":              {"elasticloadbalancing:*", "ec2:Describe*"},
	"/AmazonECS_FullAccess":                        {"ecs:*", "ec2:Describe*", "elasticloadbalancing:*", "autoscaling:Describe*", "cloudwatch:*", "logs:*"},
	"/AmazonKinesisFullAccess":                     {"kinesis:*"},
	"/AmazonKinesisReadOnlyAccess":                 {"kinesis:Get*", "kinesis:List*", "kinesis:Describe*"},
	"/AWSLambda_FullAccess":                        {"lambda:*", "logs:*", "iam:GetRole", "iam:ListRoles", "cloudformation:DescribeStacks"},
	"/AWSLambda_ReadOnlyAccess":                    {"lambda:Get*", "lambda:List*", "logs:Describe*", "logs:Get*"},
	"/CloudWatchFullAccess":                        {"autoscaling:Describe*", "cloudwatch:*", "logs:*", "sns:*"},
	"/CloudWatchReadOnlyAccess":                    {"autoscaling:Describe*", "cloudwatch:Describe*", "cloudwatch:Get*", "cloudwatch:List*", "logs:Get*", "logs:List*", "logs:Describe*"},
	"/CloudWatchLogsFullAccess":                    {"logs:*", "cloudwatch:GenerateQuery"},
	"/CloudWatchAgentServerPolicy":                 {"cloudwatch:PutMetricData", "ec2:DescribeVolumes", "ec2:DescribeTags", "logs:PutLogEvents", "logs:PutRetentionPolicy", "logs:DescribeLogStreams", "logs:DescribeLogGroups", "logs:CreateLogStream", "logs:CreateLogGroup"},
	"/AWSCloudFormationFullAccess":                 {"cloudformation:*"},
	"/AWSCodePipeline_FullAccess":                  {"codepipeline:*", "cloudformation:DescribeStacks", "codebuild:BatchGetProjects", "s3:GetBucketPolicy"},
	"/AWSCodeBuildAdminAccess":                     {"codebuild:*", "logs:GetLogEvents", "s3:CreateBucket"},
	"/AWSCodeBuildDeveloperAccess":                 {"codebuild:StartBuild", "codebuild:StopBuild", "codebuild:BatchGet*", "codebuild:GetResourcePolicy", "codebuild:List*", "logs:GetLogEvents"},
	"/SecretsManagerReadWrite":                     {"secretsmanager:*", "cloudformation:CreateChangeSet", "kms:DescribeKey", "lambda:ListFunctions"},
	"/AmazonSSMFullAccess":                         {"cloudwatch:PutMetricData", "ds:CreateComputer", "ec2:DescribeInstanceStatus", "logs:*", "ssm:*"},
	"/AmazonSSMReadOnlyAccess":                     {"ssm:Describe*", "ssm:Get*", "ssm:List*"},
	"/AmazonSSMManagedInstanceCore":                {"ssm:DescribeAssociation", "ssm:GetDocument", "ssm:GetParameter", "ssm:GetParameters", "ssm:UpdateInstanceInformation", "ssmmessages:*", "ec2messages:*"},
	"/AmazonEC2ContainerRegistryReadOnly":          {"ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:GetRepositoryPolicy", "ecr:DescribeRepositories", "ecr:ListImages", "ecr:DescribeImages", "ecr:BatchGetImage"},
	"/AmazonEC2ContainerRegistryFullAccess":        {"ecr:*", "cloudtrail:LookupEvents"},
	"/AmazonDynamoDBFullAccess":                    {"dynamodb:*", "dax:*"},
	"/AmazonSQSFullAccess":                         {"sqs:*"},
	"/AmazonSNSFullAccess":                         {"sns:*"},
	"/AmazonVPCFullAccess":                         {"ec2:*Vpc*", "ec2:*Subnet*", "ec2:*Route*", "ec2:*Gateway*", "ec2:*SecurityGroup*", "ec2:Describe*"},
	"/AWSXRayDaemonWriteAccess":                    {"xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets", "xray:GetSamplingStatisticSummaries"},
	"/CloudWatchLambdaInsightsExecutionRolePolicy": {"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"},

	"/service-role/AWSLambdaBasicExecutionRole":         {"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"},
	"/service-role/AWSLambdaVPCAccessExecutionRole":     {"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"},
	"/service-role/AWSLambdaKinesisExecutionRole":       {"kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards", "kinesis:ListStreams", "kinesis:SubscribeToShard", "logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"},
	"/service-role/AWSLambdaRole":                       {"lambda:InvokeFunction"},
	"/service-role/AmazonECSTaskExecutionRolePolicy":    {"ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage", "logs:CreateLogStream", "logs:PutLogEvents"},
	"/service-role/AmazonEC2ContainerServiceforEC2Role": {"ec2:DescribeTags", "ecs:CreateCluster", "ecs:DeregisterContainerInstance", "ecs:DiscoverPollEndpoint", "ecs:Poll", "ecs:RegisterContainerInstance", "ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState", "ecs:Submit*", "ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage", "logs:CreateLogStream", "logs:PutLogEvents"},
	"/service-role/AutoScalingNotificationAccessRole":   {"sqs:SendMessage", "sqs:GetQueueUrl", "sns:Publish"},
	"/service-role/AWSCodeDeployRole":                   {"autoscaling:*", "ec2:DescribeInstances", "ec2:DescribeInstanceStatus", "ec2:TerminateInstances", "tag:GetResources", "sns:Publish", "cloudwatch:DescribeAlarms", "elasticloadbalancing:*"},
}

// managedSince is when AWS's policies were made, as far as clients see.
var managedSince = time.Date(2015, 2, 6, 18, 39, 46, 0, time.UTC)

// managedPolicy is a policy of AWS's own.
func managedPolicy(id string) (policy, bool) {
	path := strings.TrimPrefix(id, "arn:aws:iam::aws:policy")
	actions, ok := managed[path]
	if !ok || path == id {
		return policy{}, false
	}
	cut := strings.LastIndexByte(path, '/') + 1
	statement := map[string]any{"Effect": "Allow", "Resource": "*"}
	member := "Action"
	var list []string
	for _, a := range actions {
		if rest, not := strings.CutPrefix(a, "!"); not {
			member, a = "NotAction", rest
		}
		list = append(list, a)
	}
	if statement[member] = list; len(list) == 1 {
		statement[member] = list[0]
	}
	document, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{statement}})
	if err != nil {
		return policy{}, false // not reached: it is plain data
	}
	return policy{Name: path[cut:], Path: path[:cut], ID: derivedID("ANPA", id), Created: managedSince, Changed: managedSince, Default: 1, Made: 1,
		Versions: []version{{Number: 1, Document: string(document), Created: managedSince}}}, true
}

// managedARN is the ARN of a policy that may be AWS's own.
func (p policy) arn(c *wire.Call) string {
	if id := "arn:aws:iam::aws:policy" + p.Path + p.Name; p.Created.Equal(managedSince) {
		return id
	}
	return arn(c, "policy", p.Path, p.Name)
}
