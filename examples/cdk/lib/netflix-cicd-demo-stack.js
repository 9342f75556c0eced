"use strict";

const cdk = require("aws-cdk-lib");
const codebuild = require("aws-cdk-lib/aws-codebuild");
const codepipeline = require("aws-cdk-lib/aws-codepipeline");
const codepipeline_actions = require("aws-cdk-lib/aws-codepipeline-actions");
const s3 = require("aws-cdk-lib/aws-s3");

class NetflixCicdDemoStack extends cdk.Stack {
  constructor(scope, id, props) {
    super(scope, id, props);

    // S3 bucket for the static website
    const websiteBucket = new s3.Bucket(this, "WebsiteBucket", {
      websiteIndexDocument: "index.html",
      publicReadAccess: true,
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ACLS_ONLY, // the one line that today's library needs
      removalPolicy: cdk.RemovalPolicy.DESTROY,
    });

    // Build project
    const buildProject = new codebuild.PipelineProject(this, "BuildProject", {
      environment: { buildImage: codebuild.LinuxBuildImage.STANDARD_7_0 },
      buildSpec: codebuild.BuildSpec.fromObject({
        version: "0.2",
        phases: {
          install: { commands: ["npm install"] },
          build: { commands: ["npm run build"] },
        },
        artifacts: { "base-directory": "dist", files: ["**/*"] },
      }),
    });

    // Pipeline: source, build, deploy
    const sourceOutput = new codepipeline.Artifact();
    const buildOutput = new codepipeline.Artifact();
    new codepipeline.Pipeline(this, "Pipeline", {
      pipelineName: "NetflixDemoPipeline",
      stages: [
        {
          stageName: "Source",
          actions: [
            new codepipeline_actions.GitHubSourceAction({
              actionName: "GitHub_Source",
              owner: "YOUR_GITHUB_USERNAME",
              repo: "YOUR_REPO_NAME",
              branch: "main",
              oauthToken: cdk.SecretValue.secretsManager("github-token"),
              output: sourceOutput,
            }),
          ],
        },
        {
          stageName: "Build",
          actions: [
            new codepipeline_actions.CodeBuildAction({
              actionName: "Build",
              project: buildProject,
              input: sourceOutput,
              outputs: [buildOutput],
            }),
          ],
        },
        {
          stageName: "Deploy",
          actions: [
            new codepipeline_actions.S3DeployAction({
              actionName: "Deploy",
              bucket: websiteBucket,
              input: buildOutput,
            }),
          ],
        },
      ],
    });

    new cdk.CfnOutput(this, "BucketURL", { value: websiteBucket.bucketWebsiteUrl });
  }
}

module.exports = { NetflixCicdDemoStack };
