"use strict";

// A group of instances behind a load balancer, in a network of their own; CAPACITY
// says how many.
const cdk = require("aws-cdk-lib");
const autoscaling = require("aws-cdk-lib/aws-autoscaling");
const ec2 = require("aws-cdk-lib/aws-ec2");
const elb = require("aws-cdk-lib/aws-elasticloadbalancingv2");

const app = new cdk.App();
const stack = new cdk.Stack(app, "Web");
const vpc = new ec2.Vpc(stack, "Vpc", { maxAzs: 2, natGateways: 1 });
const group = new autoscaling.AutoScalingGroup(stack, "Group", {
  vpc,
  instanceType: new ec2.InstanceType("t3.micro"),
  machineImage: ec2.MachineImage.latestAmazonLinux2023(),
  minCapacity: Number(process.env.CAPACITY ?? 2),
  maxCapacity: 5,
});
const balancer = new elb.ApplicationLoadBalancer(stack, "Balancer", { vpc, internetFacing: true });
balancer.addListener("Web", { port: 80, open: true }).addTargets("Group", { port: 80, targets: [group] });
new cdk.CfnOutput(stack, "Address", { value: balancer.loadBalancerDnsName });
