// Serves the console on loopback: its own files, the dashboards, and the two servers behind them, for reading alone.
//
//   node server.mjs --clickhouse URL --prometheus URL [--port 3000] [--dashboards ../dashboards]
//
// The user for ClickHouse comes from CLICKHOUSE_USER and CLICKHOUSE_PASSWORD_FILE; it should be one that may only read
// (deploy/grafana/clickhouse-user.sql). Whatever its rights, every statement runs read-only and within the limits below.
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { parseArgs } from 'node:util';

const here = import.meta.dirname;
const { values } = parseArgs({
  options: {
    clickhouse: { type: 'string' },
    prometheus: { type: 'string' },
    port: { type: 'string', default: '3000' },
    dashboards: { type: 'string', default: path.join(here, '../dashboards') },
  },
});
if (!values.clickhouse || !values.prometheus) {
  console.error('console: give --clickhouse URL and --prometheus URL');
  process.exit(64);
}

/** readonly=2: no writing; a statement may still set these limits. */
const LIMITS = {
  readonly: '2',
  max_execution_time: '60',
  max_result_rows: '100000',
  result_overflow_mode: 'break',
  max_memory_usage: '4000000000',
  default_format: 'JSONCompact',
  date_time_output_format: 'unix_timestamp',
  output_format_json_quote_64bit_integers: '0',
  output_format_json_quote_denormals: '1',
};
const ICONS = '/public/build/img/icons/';
const STATEMENT_BYTES_MAX = 1 << 20;
const PROMETHEUS_PATHS = /^\/api\/v1\/(query|query_range|series|label\/[a-zA-Z_]\w*\/values)$/;
const TYPES = {
  '.css': 'text/css', '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.json': 'application/json', '.svg': 'image/svg+xml',
  '.txt': 'text/plain', '.woff2': 'font/woff2',
};

function forward(base, pathAndQuery, request, response, headers) {
  const target = new URL(base);
  const client = target.protocol === 'https:' ? https : http;
  const to = client.request(
    {
      hostname: target.hostname, port: target.port, method: request.method,
      path: target.pathname.replace(/\/$/, '') + pathAndQuery, headers: { ...headers, host: target.host },
    },
    (answer) => {
      response.writeHead(answer.statusCode ?? 502, { 'content-type': answer.headers['content-type'] ?? 'application/json' });
      answer.pipe(response);
    }
  );
  to.on('error', (error) => refuse(response, 502, `${target.host} does not answer: ${error.message}`));
  response.on('close', () => to.destroy());
  return to;
}

function refuse(response, status, message) {
  if (!response.headersSent) response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(message);
}

function clickhouse(request, response) {
  if (request.method !== 'POST') return refuse(response, 405, 'a statement is sent by POST');
  const headers = { 'content-type': 'text/plain' };
  if (process.env.CLICKHOUSE_USER) headers['x-clickhouse-user'] = process.env.CLICKHOUSE_USER;
  if (process.env.CLICKHOUSE_PASSWORD_FILE) headers['x-clickhouse-key'] = fs.readFileSync(process.env.CLICKHOUSE_PASSWORD_FILE, 'utf8').trim();
  const chunks = [];
  let size = 0;
  request.on('data', (chunk) => {
    size += chunk.length;
    if (size <= STATEMENT_BYTES_MAX) chunks.push(chunk);
  });
  request.on('end', () => {
    if (size > STATEMENT_BYTES_MAX) return refuse(response, 413, `a statement has at most ${STATEMENT_BYTES_MAX} bytes`);
    forward(values.clickhouse, `/?${new URLSearchParams(LIMITS)}`, request, response, headers).end(Buffer.concat(chunks));
  });
}

function prometheus(url, request, response) {
  const name = url.pathname.slice('/prometheus'.length);
  if (!PROMETHEUS_PATHS.test(name)) return refuse(response, 404, `not a query: ${name}`);
  const headers = { 'content-type': request.headers['content-type'] ?? 'application/x-www-form-urlencoded' };
  request.pipe(forward(values.prometheus, name + url.search, request, response, headers));
}

/** As in the documentation: where one starts comes first. The others follow by their names. */
const FIRST = ['helios-network-overview', 'helios-interface-analytics', 'helios-device-health', 'helios-site-overview'];

function listOfDashboards() {
  const found = [];
  for (const folder of ['metrics', 'flows'])
    for (const file of fs.readdirSync(path.join(values.dashboards, folder)).filter((name) => name.endsWith('.json'))) {
      const { uid, title, description } = JSON.parse(fs.readFileSync(path.join(values.dashboards, folder, file), 'utf8'));
      found.push({ uid, title, description, folder, file: path.join(folder, file) });
    }
  const place = ({ uid }) => (FIRST.includes(uid) ? FIRST.indexOf(uid) : FIRST.length);
  return found.sort((a, b) => place(a) - place(b) || a.title.localeCompare(b.title));
}

function fileOf(pathname) {
  const font = /^\/public\/fonts\/inter\/Inter-(Regular|Medium)/.exec(pathname);
  if (font) return path.join(here, `node_modules/@fontsource/inter/files/inter-latin-${font[1] === 'Medium' ? 500 : 400}-normal.woff2`);
  if (pathname.startsWith(ICONS)) return within(path.join(here, 'node_modules/@grafana/ui/dist/public/img/icons'), pathname.slice(ICONS.length));
  const dashboard = /^\/api\/dashboards\/([\w-]+)$/.exec(pathname);
  if (dashboard) {
    const known = listOfDashboards().find((d) => d.uid === dashboard[1]);
    return known && path.join(values.dashboards, known.file);
  }
  return path.extname(pathname) ? within(path.join(here, 'dist'), pathname) : path.join(here, 'dist/index.html');
}

function within(folder, name) {
  const file = path.join(folder, name);
  return file.startsWith(folder + path.sep) ? file : undefined;
}

const server = http.createServer((request, response) => {
  try {
    answer(request, response);
  } catch (error) {
    // Such as a dashboard that is being written at this moment.
    refuse(response, 500, `${request.url}: ${error.message}`);
  }
});

function answer(request, response) {
  const url = new URL(request.url, 'http://console');
  if (url.pathname === '/clickhouse') return clickhouse(request, response);
  if (url.pathname.startsWith('/prometheus/')) return prometheus(url, request, response);
  if (url.pathname === '/api/dashboards') {
    response.writeHead(200, { 'content-type': TYPES['.json'] });
    return response.end(JSON.stringify(listOfDashboards().map(({ file: _, ...shown }) => shown)));
  }
  const file = fileOf(decodeURIComponent(url.pathname));
  if (url.pathname.startsWith(ICONS) && !(file && fs.existsSync(file))) {
    response.writeHead(200, { 'content-type': TYPES['.svg'] });
    return response.end(missingIcon(file));
  }
  if (!file || !fs.existsSync(file)) return refuse(response, 404, `there is no ${url.pathname}`);
  response.writeHead(200, { 'content-type': TYPES[path.extname(file)] ?? 'application/octet-stream' });
  fs.createReadStream(file).pipe(response);
}

/** @grafana/ui asks for more icons than its package holds: one to the left is the one to the right in the mirror, others are empty. */
function missingIcon(file) {
  const right = file?.replace(/-left\.svg$/, '-right.svg');
  if (!right || right === file || !fs.existsSync(right)) return '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"/>';
  return fs.readFileSync(right, 'utf8').replace(/^([^]*?<svg[^>]*>)([^]*)<\/svg>\s*$/, '$1<g transform="matrix(-1 0 0 1 24 0)">$2</g></svg>');
}

server.on('error', (error) => {
  console.error(`console: ${error.message}`);
  process.exit(1);
});
server.listen(Number(values.port), '127.0.0.1', () => console.log(`console: http://127.0.0.1:${server.address().port}/`));
