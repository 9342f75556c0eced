// A function that a stream feeds, with an address, a version behind an alias, and a
// resource that another function makes, as the CDK's constructs make them.
const cdk = require('aws-cdk-lib');
const kinesis = require('aws-cdk-lib/aws-kinesis');
const lambda = require('aws-cdk-lib/aws-lambda');
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
new cdk.CfnOutput(stack, 'Address', { value: url.url });
new cdk.CfnOutput(stack, 'Loud', { value: made.getAttString('Loud') });
new cdk.CfnOutput(stack, 'MakerName', { value: maker.functionName });
