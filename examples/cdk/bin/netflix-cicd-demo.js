#!/usr/bin/env node
"use strict";

const cdk = require("aws-cdk-lib");
const { NetflixCicdDemoStack } = require("../lib/netflix-cicd-demo-stack");

const app = new cdk.App();
new NetflixCicdDemoStack(app, "NetflixCicdDemoStack");
