// Answers to CloudFormation for a custom resource, as the module that AWS puts beside
// code that stands in a template.
'use strict';
exports.SUCCESS = 'SUCCESS';
exports.FAILED = 'FAILED';

exports.send = function (event, context, responseStatus, responseData, physicalResourceId, noEcho) {
  const body = JSON.stringify({
    Status: responseStatus,
    Reason: 'See the details in CloudWatch Log Stream: ' + context.logStreamName,
    PhysicalResourceId: physicalResourceId || context.logStreamName,
    StackId: event.StackId,
    RequestId: event.RequestId,
    LogicalResourceId: event.LogicalResourceId,
    NoEcho: noEcho || false,
    Data: responseData,
  });
  console.log('Response body:\n', body);
  const target = new URL(event.ResponseURL);
  const request = require(target.protocol === 'https:' ? 'https' : 'http').request(
    target,
    { method: 'PUT', headers: { 'content-type': '', 'content-length': Buffer.byteLength(body) } },
    (response) => {
      console.log('Status code: ' + response.statusCode);
      response.resume();
      response.on('end', () => context.done());
    },
  );
  request.on('error', (error) => {
    console.log('send(..) failed executing the request: ' + error);
    context.done();
  });
  request.end(body);
};
