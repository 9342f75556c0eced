'use strict';

// A Fargate service behind a load balancer, as the CDK's pattern makes it; COUNT says how
// many tasks at least, WORD what is in their environment. More requests bring more tasks.
const cdk = require('aws-cdk-lib');
const ecs = require('aws-cdk-lib/aws-ecs');
const patterns = require('aws-cdk-lib/aws-ecs-patterns');

const app = new cdk.App();
const stack = new cdk.Stack(app, 'Shop');
const service = new patterns.ApplicationLoadBalancedFargateService(stack, 'Service', {
  desiredCount: Number(process.env.COUNT ?? 2), cpu: 256, memoryLimitMiB: 512, circuitBreaker: { rollback: true }, minHealthyPercent: 50,
  taskImageOptions: { image: ecs.ContainerImage.fromRegistry('amazon/amazon-ecs-sample'), environment: { WORD: process.env.WORD ?? 'one' } },
});
const tasks = service.service.autoScaleTaskCount({ minCapacity: Number(process.env.COUNT ?? 2), maxCapacity: 6 });
tasks.scaleOnCpuUtilization('Processors', { targetUtilizationPercent: 80 });
tasks.scaleOnRequestCount('Requests', { requestsPerTarget: 60, targetGroup: service.targetGroup });
new cdk.CfnOutput(stack, 'Address', { value: service.loadBalancer.loadBalancerDnsName });
