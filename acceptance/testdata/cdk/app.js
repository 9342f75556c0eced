"use strict";

// A site, a parameter, a role, a stream and a secret; GREETING changes the
// parameter, BROKEN adds what cannot be made.
const cdk = require("aws-cdk-lib");
const iam = require("aws-cdk-lib/aws-iam");
const kinesis = require("aws-cdk-lib/aws-kinesis");
const s3 = require("aws-cdk-lib/aws-s3");
const secrets = require("aws-cdk-lib/aws-secretsmanager");
const ssm = require("aws-cdk-lib/aws-ssm");

const app = new cdk.App();
const stack = new cdk.Stack(app, "Demo");
const site = new s3.Bucket(stack, "Site", {
  websiteIndexDocument: "index.html",
  publicReadAccess: true,
  blockPublicAccess: s3.BlockPublicAccess.BLOCK_ACLS_ONLY,
  removalPolicy: cdk.RemovalPolicy.DESTROY,
});
const greeting = new ssm.StringParameter(stack, "Greeting", { parameterName: "/demo/greeting", stringValue: process.env.GREETING ?? "hello" });
site.grantRead(new iam.Role(stack, "Reader", { assumedBy: new iam.ServicePrincipal("ec2.amazonaws.com") }));
new kinesis.Stream(stack, "Events", { encryption: kinesis.StreamEncryption.UNENCRYPTED, removalPolicy: cdk.RemovalPolicy.DESTROY });
new secrets.Secret(stack, "Token");
if (process.env.BROKEN) {
  new ssm.StringParameter(stack, "Bad", { parameterName: "aws-no", stringValue: "x" }).node.addDependency(greeting);
}
new cdk.CfnOutput(stack, "URL", { value: site.bucketWebsiteUrl });
