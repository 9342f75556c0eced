// A function that a stream feeds, with an address, a version behind an alias, and a
// resource that another function makes, as the CDK's constructs make them.
const cdk = require('aws-cdk-lib');
const kinesis = require('aws-cdk-lib/aws-kinesis');
const lambda = require('aws-cdk-lib/aws-lambda');
const s3 = require('aws-cdk-lib/aws-s3');
const deployment = require('aws-cdk-lib/aws-s3-deployment');
const { KinesisEventSource } = require('aws-cdk-lib/aws-lambda-event-sources');

const greeting = process.env.GREETING ?? 'hello';
const app = new cdk.App();
const stack = new cdk.Stack(app, 'Fed', { env: { account: '000000000000', region: 'us-east-1' } });
const stream = new kinesis.Stream(stack, 'Stream', { streamName: 'orders', shardCount: 2 });
const worker = new lambda.Function(stack, 'Worker', {
  functionName: 'worker', runtime: lambda.Runtime.NODEJS_20_X, handler: 'index.handler', code: lambda.Code.fromAsset('handler'),
  environment: { GREETING: greeting }, timeout: cdk.Duration.seconds(20), memorySize: 256,
});
worker.addEventSource(new KinesisEventSource(stream, { startingPosition: lambda.StartingPosition.TRIM_HORIZON, batchSize: 10 }));
const live = worker.addAlias('live');
const url = live.addFunctionUrl({ authType: lambda.FunctionUrlAuthType.NONE });
const maker = new lambda.Function(stack, 'Maker', {
  runtime: lambda.Runtime.NODEJS_20_X, handler: 'index.handler', timeout: cdk.Duration.seconds(20), code: lambda.Code.fromInline(`
const response = require('cfn-response');
exports.handler = (event, context) => {
  console.log(event.RequestType + ' ' + event.ResourceProperties.Word);
  if (event.ResourceProperties.Word === 'bad') response.send(event, context, response.FAILED, {}, event.PhysicalResourceId);
  else response.send(event, context, response.SUCCESS, { Loud: event.ResourceProperties.Word.toUpperCase() }, 'made-' + event.ResourceProperties.Word);
};`),
});
const made = new cdk.CustomResource(stack, 'Made', { serviceToken: maker.functionArn, resourceType: 'Custom::Word', properties: { Word: greeting } });
// A site whose files the CDK uploads, and removes with its bucket; an alarm on the function.
const site = new s3.Bucket(stack, 'Site', {
  bucketName: 'fed-site', websiteIndexDocument: 'index.html', publicReadAccess: true, blockPublicAccess: s3.BlockPublicAccess.BLOCK_ACLS_ONLY,
  autoDeleteObjects: true, removalPolicy: cdk.RemovalPolicy.DESTROY,
});
new deployment.BucketDeployment(stack, 'Files', {
  destinationBucket: site, sources: [deployment.Source.data('index.html', '<p>' + greeting), deployment.Source.jsonData('table.json', { name: stream.streamName })],
});
worker.metricErrors().createAlarm(stack, 'Errors', { alarmName: 'worker-errors', threshold: 1, evaluationPeriods: 1 });
new cdk.CfnOutput(stack, 'Address', { value: url.url });
new cdk.CfnOutput(stack, 'Loud', { value: made.getAttString('Loud') });
new cdk.CfnOutput(stack, 'MakerName', { value: maker.functionName });
