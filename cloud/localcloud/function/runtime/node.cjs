// Loads a function and answers its requests through the Lambda Runtime API, as AWS's
// runtime for Node.js does.
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');
const { syncBuiltinESMExports } = require('module');
const path = require('path');
const util = require('util');
const { pathToFileURL } = require('url');

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const base = '/2018-06-01/runtime/';
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
let current = '';
let onEmpty = null;

function ask(method, name, body, headers) {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : Buffer.from(body);
    const request = http.request({ host, port, method, agent, path: base + name, headers: { ...headers, ...(text ? { 'Content-Type': 'application/json', 'Content-Length': text.length } : {}) } }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => resolve({ headers: response.headers, status: response.statusCode, body: Buffer.concat(parts).toString('utf8') }));
    });
    request.on('error', reject);
    request.end(text);
  });
}

// Errors in the form that clients of Lambda know.
function shape(error) {
  if (error instanceof Error || (error && typeof error === 'object' && 'stack' in error && 'message' in error)) {
    return { errorType: error.name, errorMessage: error.message, trace: String(error.stack || '').split('\n') };
  }
  if (typeof error === 'object' && error !== null) return { errorType: 'object', errorMessage: util.inspect(error), trace: [] };
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

// An error as the log has it: with its own properties, in one line.
function told(kind, error) {
  const out = { ...shape(error) };
  if (error instanceof Error) {
    for (const key of Object.keys(error)) if (!(key in out)) out[key] = error[key];
    out.stack = out.trace;
    delete out.trace;
  }
  let text;
  try { text = JSON.stringify(out); } catch { text = util.inspect(error); }
  return kind + ' \t' + text;
}

function log(level, text) {
  process.stdout.write((new Date().toISOString() + '\t' + (current || 'undefined') + '\t' + level + '\t' + text).replace(/\n/g, '\r') + '\n');
}

for (const [name, level] of [['log', 'INFO'], ['info', 'INFO'], ['debug', 'DEBUG'], ['warn', 'WARN'], ['error', 'ERROR'], ['trace', 'TRACE']]) {
  console[name] = (...args) => log(level, util.format(...args));
}

// Handlers of custom resources answer to CloudFormation by https and on its port, whatever
// the address says; here it is the endpoint's.
const endpoint = process.env.AWS_ENDPOINT_URL ? new URL(process.env.AWS_ENDPOINT_URL) : null;
const secure = https.request;
https.request = function (...args) {
  const options = args.find((a) => a && typeof a === 'object' && !(a instanceof URL));
  if (endpoint && options && options.hostname === endpoint.hostname && (!options.port || Number(options.port) === 443) && String(options.path).startsWith('/_cloudformation/')) {
    return http.request({ ...options, protocol: 'http:', port: endpoint.port, agent: undefined }, args.find((a) => typeof a === 'function'));
  }
  return secure.apply(this, args);
};
syncBuiltinESMExports();

// What AWS puts beside a function and this machine may not have.
function advice(message) {
  const found = /Cannot find (?:module|package) '(@aws-sdk\/[^/']+|@smithy\/[^/']+|aws-sdk)/.exec(message);
  return found ? ` (AWS puts this SDK beside functions; here it has to be installed, npm install -g ${found[1]}, or be in the zip file or a layer)` : '';
}

class Failure extends Error {
  constructor(kind, message, cause) {
    super(message);
    this.name = 'Runtime.' + kind;
    if (cause && cause.stack) this.stack = this.name + ': ' + message + '\n' + String(cause.stack).split('\n').slice(1).join('\n');
  }
}

// A .js file is a module of ECMAScript when the nearest package.json says so.
function isModule(file) {
  if (file.endsWith('.mjs')) return true;
  if (file.endsWith('.cjs')) return false;
  for (let dir = path.dirname(file); ; dir = path.dirname(dir)) {
    try {
      return JSON.parse(fs.readFileSync(path.join(dir, 'package.json'), 'utf8')).type === 'module';
    } catch (e) {
      if (e.code !== 'ENOENT' && e.code !== 'ENOTDIR') return false;
    }
    if (dir === path.dirname(dir) || dir === process.env.LAMBDA_TASK_ROOT) return false;
  }
}

async function load() {
  const root = process.env.LAMBDA_TASK_ROOT;
  const named = process.env._HANDLER;
  if (named.split(path.sep).includes('..')) throw new Failure('MalformedHandlerName', `'${named}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  const found = /^([^.]*)\.(.+)$/.exec(path.basename(named));
  if (!found) throw new Failure('MalformedHandlerName', 'Bad handler');
  const name = path.join(path.dirname(named), found[1]);
  const file = ['', '.js', '.mjs', '.cjs'].map((end) => path.resolve(root, name) + end).find((f) => fs.existsSync(f) && fs.statSync(f).isFile());
  let loaded;
  try {
    if (!file) {
      loaded = require(require.resolve('./' + name, { paths: [root] }));
    } else if (isModule(file)) {
      loaded = await import(pathToFileURL(file).href);
    } else {
      loaded = require(file);
    }
  } catch (e) {
    if (e instanceof SyntaxError) throw new Failure('UserCodeSyntaxError', e.toString(), e);
    if (e && (e.code === 'MODULE_NOT_FOUND' || e.code === 'ERR_MODULE_NOT_FOUND')) {
      throw new Failure('ImportModuleError', file ? e.toString() + advice(e.toString()) : `Error: Cannot find module '${path.basename(name)}'`, e);
    }
    throw e;
  }
  const pick = (from) => found[2].split('.').reduce((v, key) => (v === undefined || v === null ? undefined : v[key]), from);
  let handler = pick(loaded);
  if (handler === undefined && loaded && loaded.default) handler = pick(loaded.default);
  if (handler === undefined) throw new Failure('HandlerNotFound', `${named} is undefined or not exported`);
  if (typeof handler !== 'function') throw new Failure('HandlerNotFound', `${named} is not a function`);
  return handler;
}

function contextOf(headers, settle) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  const client = headers['lambda-runtime-client-context'];
  const context = {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: client ? JSON.parse(client) : undefined,
    identity: undefined,
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
  context.done = (error, result) => settle(error, result, false);
  context.succeed = (result) => settle(null, result, true);
  context.fail = (error) => settle(error === undefined || error === null ? 'handled' : error, undefined, true);
  return context;
}

// The result of one request: of the promise, or of the callback once the event loop is
// empty, if it waits for that.
function run(handler, event, headers) {
  return new Promise((resolve, reject) => {
    let called = false;
    let outcome = null;
    const finish = () => {
      onEmpty = null;
      if (outcome && outcome.failed) reject(outcome.error);
      else resolve(outcome ? outcome.result : null);
    };
    const context = contextOf(headers, (error, result, now) => {
      if (called) return;
      called = true;
      outcome = error === null || error === undefined ? { result } : { failed: true, error };
      if (now || !context.callbackWaitsForEmptyEventLoop) setImmediate(finish);
    });
    onEmpty = finish;
    let returned;
    try {
      returned = handler(event, context, (error, result) => context.done(error, result));
    } catch (error) {
      onEmpty = null;
      reject(error);
      return;
    }
    if (returned && typeof returned.then === 'function') {
      returned.then((result) => { onEmpty = null; resolve(result); }, (error) => { onEmpty = null; reject(error); });
    }
  });
}

process.on('beforeExit', () => { if (onEmpty) onEmpty(); });

async function fatal(kind, error) {
  log('ERROR', told(kind, error));
  const body = JSON.stringify(shape(error));
  try { await ask('POST', current ? `invocation/${current}/error` : 'init/error', body, { 'Lambda-Runtime-Function-Error-Type': shape(error).errorType }); } catch { /* the process ends in any case */ }
  process.exit(kind === 'Uncaught Exception' ? 129 : 128);
}

process.on('uncaughtException', (error) => fatal('Uncaught Exception', error));
process.on('unhandledRejection', (reason) => {
  const error = new Failure('UnhandledPromiseRejection', reason instanceof Error ? reason.toString() : String(reason), reason);
  fatal('Unhandled Promise Rejection', error);
});

async function main() {
  let handler;
  try {
    handler = await load();
  } catch (error) {
    await fatal('Uncaught Exception', error);
    return;
  }
  for (;;) {
    current = '';
    const next = await ask('GET', 'invocation/next');
    current = next.headers['lambda-runtime-aws-request-id'];
    process.env._X_AMZN_TRACE_ID = next.headers['lambda-runtime-trace-id'] || '';
    const id = current;
    let body;
    try {
      const result = await run(handler, JSON.parse(next.body), next.headers);
      body = JSON.stringify(result === undefined ? null : result);
      if (body === undefined) body = 'null';
    } catch (error) {
      log('ERROR', told('Invoke Error', error));
      const failure = shape(error);
      await ask('POST', `invocation/${id}/error`, JSON.stringify(failure), { 'Lambda-Runtime-Function-Error-Type': failure.errorType });
      continue;
    }
    await ask('POST', `invocation/${id}/response`, body);
  }
}

process.chdir(process.env.LAMBDA_TASK_ROOT);
main().catch((error) => fatal('Uncaught Exception', error));
