'use strict';

// A Fargate service behind a load balancer, as the CDK's pattern makes it; COUNT says how
// many tasks, WORD what is in their environment.
const cdk = require('aws-cdk-lib');
const ecs = require('aws-cdk-lib/aws-ecs');
const patterns = require('aws-cdk-lib/aws-ecs-patterns');

const app = new cdk.App();
const stack = new cdk.Stack(app, 'Shop');
const service = new patterns.ApplicationLoadBalancedFargateService(stack, 'Service', {
  desiredCount: Number(process.env.COUNT ?? 2), cpu: 256, memoryLimitMiB: 512, circuitBreaker: { rollback: true }, minHealthyPercent: 50,
  taskImageOptions: { image: ecs.ContainerImage.fromRegistry('amazon/amazon-ecs-sample'), environment: { WORD: process.env.WORD ?? 'one' } },
});
new cdk.CfnOutput(stack, 'Address', { value: service.loadBalancer.loadBalancerDnsName });
