"use strict";

const cdk = require("aws-cdk-lib");
const codebuild = require("aws-cdk-lib/aws-codebuild");
const codepipeline = require("aws-cdk-lib/aws-codepipeline");
const actions = require("aws-cdk-lib/aws-codepipeline-actions");
const s3 = require("aws-cdk-lib/aws-s3");

/** A public bucket, and the pipeline that fills it: GitHub, CodeBuild, S3. */
class NetflixDemoStack extends cdk.Stack {
  constructor(scope, id, { owner, repo, ...props }) {
    super(scope, id, props);

    const bucket = new s3.Bucket(this, "NetflixDemoBucket", {
      websiteIndexDocument: "index.html",
      publicReadAccess: true,
      blockPublicAccess: new s3.BlockPublicAccess({
        blockPublicAcls: false, blockPublicPolicy: false, ignorePublicAcls: false, restrictPublicBuckets: false,
      }),
      removalPolicy: cdk.RemovalPolicy.DESTROY,
    });

    const project = new codebuild.PipelineProject(this, "BuildProject", {
      environment: { buildImage: codebuild.LinuxBuildImage.STANDARD_7_0 },
      buildSpec: codebuild.BuildSpec.fromObject({
        version: "0.2",
        phases: { install: { commands: ["npm install"] }, build: { commands: ["npm run build"] } },
        artifacts: { "base-directory": "dist", files: ["**/*"] },
      }),
    });

    const source = new codepipeline.Artifact();
    const build = new codepipeline.Artifact();
    new codepipeline.Pipeline(this, "Pipeline", {
      pipelineName: "NetflixDemoPipeline",
      stages: [
        {
          stageName: "Source",
          actions: [new actions.GitHubSourceAction({
            actionName: "GitHub_Source", owner, repo, branch: "main", output: source,
            oauthToken: cdk.SecretValue.secretsManager("github-token"),
          })],
        },
        { stageName: "Build", actions: [new actions.CodeBuildAction({ actionName: "Build", project, input: source, outputs: [build] })] },
        { stageName: "Deploy", actions: [new actions.S3DeployAction({ actionName: "Deploy", bucket, input: build })] },
      ],
    });

    new cdk.CfnOutput(this, "BucketURL", { value: bucket.bucketWebsiteUrl });
  }
}

module.exports = { NetflixDemoStack };
