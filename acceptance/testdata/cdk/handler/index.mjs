// Logs each record of a stream, and answers at the function's address.
export const handler = async (event) => {
  for (const record of event.Records ?? []) {
    console.log('RECORD ' + record.kinesis.partitionKey + ' ' + Buffer.from(record.kinesis.data, 'base64').toString());
  }
  return { statusCode: 200, headers: { 'content-type': 'text/plain' }, body: process.env.GREETING + ' ' + (event.rawPath ?? '') };
};
