#!/usr/bin/env node
"use strict";

const cdk = require("aws-cdk-lib");
const { NetflixDemoStack } = require("../lib/netflix-demo-stack");

const app = new cdk.App();
new NetflixDemoStack(app, "NetflixDemoStack", {
  owner: app.node.tryGetContext("owner") ?? "owner",
  repo: app.node.tryGetContext("repo") ?? "repo",
});
app.synth();
