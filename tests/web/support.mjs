// What the tests of the page share: a browser, the running historian of the environment, and data in it.
//
//   HISTORIAN_HTTP     http://127.0.0.1:PORT of a running historian without data
//   HISTORIAN_ADDRESS  its gRPC address, host:port
//   HISTORIAN_BINARY   the program
//   HISTORIAN_PYTHON   a Python that has DuckDB
//   HISTORIAN_PAGE     a folder whose files are shown in place of those in the program, where they are newer: web/dist
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const HTTP = required('HISTORIAN_HTTP');
const ADDRESS = required('HISTORIAN_ADDRESS');
export const BINARY = required('HISTORIAN_BINARY');
const PYTHON = required('HISTORIAN_PYTHON');
const MODBUS = join(dirname(fileURLToPath(import.meta.url)), '..', 'peers', 'modbus_server.py');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Long, because a browser may start slowly on a busy machine; nothing waits for it that is there already. */
export const PATIENCE_MS = 60_000;

export const directory = mkdtempSync(join(tmpdir(), 'historian-web-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function required(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
}

let browser;
after(async () => browser?.close());

async function launch() {
  browser ??= await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  return browser;
}

/** A context of its own. */
export async function newContext(options = {}) {
  const context = await (await launch()).newContext({ viewport: { width: 1440, height: 900 }, timezoneId: 'Europe/Berlin', ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const folder = process.env.HISTORIAN_PAGE;
  if (folder) {
    const files = readdirSync(folder);
    await context.route((url) => files.includes(url.pathname.slice(1)) && !url.pathname.endsWith('index.html'), async (route) => {
      const response = await route.fetch().catch(() => null);
      if (response) await route.fulfill({ response, body: readFileSync(join(folder, new URL(route.request().url()).pathname.slice(1))) });
    });
  }
  return context;
}

/** A page of its own context. Errors of scripts and refusals by the CSP fail the test. */
export async function openPage(t, path, options = {}) {
  const { base = HTTP, ...contextOptions } = options;
  const context = await newContext(contextOptions);
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (/Content.Security.Policy/i.test(message.text())) errors.push(message.text());
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(errors, []);
  });
  await page.goto(base + path);
  await page.waitForFunction(() => globalThis.historian !== undefined);
  return page;
}

export const stateOf = (page) => page.evaluate(() => JSON.parse(JSON.stringify(globalThis.historian.state())));

/** Waits until the trend shows a settled view that satisfies the condition. */
export async function settled(page, condition = () => true) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const { trend } = await stateOf(page);
    if (trend && !trend.loading && trend.lanes.length > 0 && trend.pens.every((pen) => pen.drawn) && condition(trend)) return trend;
    if (Date.now() > deadline) assert.fail(`the view did not settle: ${JSON.stringify(trend).slice(0, 2000)}`);
    await page.waitForTimeout(50);
  }
}

export const requestsOf = async (page, kind) => (await stateOf(page)).requests.filter(({ path }) => path === kind || path.startsWith(`${kind}?`));

/** Drags over the chart from one share of its width to another. */
export async function drag(page, from, to, { shift = false, steps = 6, height = 0.5 } = {}) {
  const box = await page.getByTestId('surface').boundingBox();
  const y = box.y + box.height * height;
  if (shift) await page.keyboard.down('Shift');
  await page.mouse.move(box.x + box.width * from, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * to, y, { steps });
  await page.mouse.up();
  if (shift) await page.keyboard.up('Shift');
}

export function historian(command, { address = ADDRESS, token } = {}) {
  const environment = { ...process.env, ...(token ? { HISTORIAN_TOKEN: token } : {}) };
  return execFileSync(BINARY, [...command, '--server', `grpc://${address}`], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28, env: environment });
}

let files = 0;

/** Writes rows of CSV, the header first, as samples of new tags or old ones. */
export function importSamples(lines, where) {
  const file = join(directory, `samples-${(files += 1)}.csv`);
  writeFileSync(file, `${lines.join('\n')}\n`);
  for (;;) {
    try {
      historian(['import', file, '--create-tags'], where);
      return;
    } catch (error) {
      if (!/requests a second/.test(String(error.stderr))) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    }
  }
}

export function importTags(lines) {
  const file = join(directory, `tags-${(files += 1)}.csv`);
  writeFileSync(file, `${lines.join('\n')}\n`);
  historian(['tag', 'import', file]);
}

/** What the engine answers, in JSON columns. */
export async function ask(kind, body) {
  const response = await fetch(`${HTTP}/api/v1/${kind}`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
  });
  assert.ok(response.ok, `${kind}: ${response.status} ${await response.clone().text()}`);
  return response.json();
}

export const ns = (text) => BigInt(Date.parse(text)) * 1_000_000n;
export const rfc = (time) => `${new Date(Number(time / 1_000_000n)).toISOString().slice(0, 19)}.${String(time % 1_000_000_000n).padStart(9, '0')}Z`;

export function trend(tags, parameters = {}) {
  return `/?${new URLSearchParams([...tags.map((tag) => ['tag', tag]), ...Object.entries(parameters)])}`;
}

/** A historian of the test's own, on free ports or on those given, with a file of its configuration; it is killed at the end of the test. */
export async function startHistorian(t, data, { listen = '127.0.0.1:0', http = '127.0.0.1:0', config } = {}) {
  // Its own settings have variables of the same beginning.
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HISTORIAN_')));
  const child = spawn(BINARY, ['serve', '--data-dir', data, '--listen', listen, '--http', http, ...(config ? ['--config', config] : [])], {
    stdio: ['ignore', 'pipe', 'pipe'], env: { ...environment, NO_COLOR: '1' },
  });
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  t.after(kill);
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (log += data));
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const [, address, web] = /serving listen=(\S+) http=(\S+)/.exec(log) ?? [];
    if (address && web) return { address, http: web, base: `http://${web}`, kill };
    assert.ok(child.exitCode === null && Date.now() < deadline, `the historian did not start: ${log}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

export function createToken(data, name, ...flags) {
  return execFileSync(BINARY, ['token', 'create', name, '--data-dir', data, ...flags], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
}

/** Waits until the historian, which has its first token, asks for one. */
export async function untilClosed({ base }) {
  for (let asked = 0; (await fetch(`${base}/api/v1/tags`)).status !== 401; asked++) {
    assert.ok(asked < 300, 'the historian does not ask for a token');
    await new Promise((done) => setTimeout(done, 200));
  }
}

/** Runs a program in Python; its standard output. */
export function python(program, ...words) {
  return execFileSync(PYTHON, ['-c', program, ...words], { encoding: 'utf8', maxBuffer: 1 << 28 });
}

/** Asks a historian of the test's own with a token. */
export async function tell({ base }, token, path, body) {
  const response = await fetch(`${base}/api/v1/${path}`, {
    method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` }, body: JSON.stringify(body),
  });
  assert.ok(response.ok, `${path}: ${response.status} ${await response.clone().text()}`);
  return response.json();
}

export async function signIn(page, secret) {
  await page.getByTestId('sign-in').getByLabel('Token').fill(secret);
  await page.keyboard.press('Enter');
}

/** A server of `tests/peers` with a Modbus device, on a free port or on the one given: see `modbus_server.py` for what it holds. */
export async function startModbus(t, port = '') {
  const child = spawn(PYTHON, ['-u', MODBUS, 'tcp', ...(port ? [String(port)] : [])], { stdio: ['pipe', 'pipe', 'ignore'] });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  child.stdout.on('data', (data) => (said += data));
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const [, ready] = /^ready (\d+)/m.exec(said) ?? [];
    if (ready) return Number(ready);
    assert.ok(child.exitCode === null && Date.now() < deadline, 'the Modbus server did not start');
    await new Promise((done) => setTimeout(done, 50));
  }
}
