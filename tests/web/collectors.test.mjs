// The tags of devices on the page: real Modbus devices, of which one unit does not answer, one address is refused, and one device is not there yet.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { createToken, directory, openPage, PATIENCE_MS, settled, signIn, startHistorian, startModbus, stateOf, untilClosed } from './support.mjs';

const REFUSED = 'dryer/none';
const DOWN = ['kiln/pressure', 'kiln/temperature'];
const WELL = ['dryer/mode', 'dryer/temperature'];
const FILTER = 'Filter tags of the device';
const ONLY = 'Only those with a problem';

/** What stands between the historian and a device: requests to a unit that is down go no further, as with a slave whose cable is cut. */
async function gateway(t, port) {
  const down = new Set();
  const sockets = new Set();
  const server = createServer((client) => {
    const device = connect(port, '127.0.0.1');
    let rest = Buffer.alloc(0);
    client.on('data', (data) => {
      rest = Buffer.concat([rest, data]);
      while (rest.length >= 6 && rest.length >= 6 + rest.readUInt16BE(4)) {
        const frame = rest.subarray(0, 6 + rest.readUInt16BE(4));
        rest = rest.subarray(frame.length);
        if (!down.has(frame[6])) device.write(frame);
      }
    });
    device.on('data', (data) => client.write(data));
    for (const [one, other] of [[client, device], [device, client]]) {
      sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => other.destroy());
    }
  });
  const own = await listening(server);
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: own, down };
}

async function listening(server) {
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return server.address().port;
}

/** A port on which nobody listens. */
async function freePort() {
  const server = createServer();
  const port = await listening(server);
  await new Promise((done) => server.close(done));
  return port;
}

let plants = 0;

/** A historian that collects from the devices. */
async function plant(t) {
  const { port, down } = await gateway(t, await startModbus(t));
  down.add(2);
  const later = await freePort();
  const place = `plant-${(plants += 1)}`;
  const config = join(directory, `${place}.toml`);
  const device = (name, at) => `[[modbus]]\nname = "${name}"\nendpoint = "127.0.0.1:${at}"\nscan_ms = 200\ntimeout_ms = 300\n`;
  const tag = (name, address, more = '') => `[[modbus.tag]]\nname = "${name}"\naddress = "${address}"\n${more}`;
  writeFileSync(config, [
    device('gateway', port),
    tag('dryer/temperature', 'input:10', 'unit = "Cel"\ndescription = "Outlet of the dryer"\n'),
    tag('dryer/mode', 'input:0', 'state_set = "0=off|3=running"\n'),
    tag(REFUSED, 'input:5000'),
    tag('kiln/temperature', '2!input:12', 'unit = "Cel"\n'),
    tag('kiln/pressure', '2!input:13', 'unit = "bar"\n'),
    device('press', later),
    tag('press/force', 'input:20', 'unit = "kN"\n'),
  ].join(''));
  const data = join(directory, place);
  return { ...await startHistorian(t, data, { config }), data, down, later };
}

const rowsOf = async (page) => (await stateOf(page)).device.rows.map(({ name }) => name);
const row = (page, name) => page.locator(`[data-tag="${name}"]`);
const textOf = async (page, name, cell) => (await row(page, name).locator(`.row-${cell}`).innerText()).trim();

/** Waits until the page shows the device and a condition holds of its state; the state. */
async function shown(page, condition) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const { device } = await stateOf(page);
    if (device && device.total !== null && condition(device)) return device;
    if (Date.now() > deadline) assert.fail(`the device is not shown so: ${JSON.stringify(device).slice(0, 2000)}`);
    await page.waitForTimeout(50);
  }
}

const ALL_KNOWN = ({ rows, problems }) => rows.length === 5 && problems === 3 && rows.every(({ last }) => last);

test('W22 a device shows its tags: those with a problem first, with what the device said; the others with value, unit, state and quality', async (t) => {
  const { base } = await plant(t);
  const page = await openPage(t, '/collectors', { base });
  await page.getByRole('link', { name: 'gateway', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: /gateway/ }).waitFor();
  const { rows } = await shown(page, ALL_KNOWN);
  assert.deepEqual(rows.map(({ name }) => name), [REFUSED, ...DOWN, ...WELL]);
  assert.deepEqual(rows.map(({ level }) => level), ['bad', 'bad', 'bad', 'good', 'good']);
  assert.equal(await textOf(page, REFUSED, 'delivery'), 'wanted');
  assert.equal(await textOf(page, REFUSED, 'quality'), 'Bad: configuration error');
  assert.match(await row(page, REFUSED).locator('.row-error').getAttribute('title'), /^BadConfigurationError/);
  for (const name of DOWN) {
    assert.match(await textOf(page, name, 'quality'), /^Bad: /);
    assert.notEqual(await row(page, name).locator('.row-error').getAttribute('title'), '');
  }
  await page.getByText('running', { exact: true }).waitFor();
  assert.equal(await textOf(page, 'dryer/mode', 'value'), 'running');
  assert.deepEqual([await textOf(page, 'dryer/temperature', 'value'), await textOf(page, 'dryer/temperature', 'unit')], ['73', '°C']);
  assert.deepEqual([await textOf(page, 'dryer/temperature', 'delivery'), await textOf(page, 'dryer/temperature', 'quality')], ['delivering', 'Good']);
  await page.getByRole('status').filter({ hasText: /^5 tags, 3 with a problem$/ }).waitFor();
  // The head of the device: as the API has it.
  const card = page.getByRole('region', { name: 'gateway' });
  assert.match(await card.innerText(), /2 of 5 deliver/);
  assert.match(await card.innerText(), /p50 [\d.]+ (µs|ms), p99 [\d.]+ (µs|ms|s)/);
  assert.match(await card.innerText(), /tells no time/);
  const { devices } = await (await fetch(`${base}/api/v1/collectors`)).json();
  const [hole] = devices.find(({ device }) => device === 'gateway').holes;
  await card.getByText('The device refuses an address').click();
  await card.getByText(hole).waitFor();
});

test('W22 filter and chosen tag are in the address, and survive a reload; the details say all that the device said', async (t) => {
  const { base } = await plant(t);
  const page = await openPage(t, '/collectors/gateway', { base });
  await shown(page, ALL_KNOWN);
  await page.getByLabel(FILTER).fill('KILN press');
  await shown(page, ({ count }) => count === 1);
  assert.deepEqual(await rowsOf(page), ['kiln/pressure']);
  await page.getByLabel(FILTER).fill('outlet');
  await shown(page, ({ rows }) => rows.length === 1 && rows[0].name === 'dryer/temperature');
  await page.getByLabel(ONLY).check();
  await page.getByText('No tag has all of these words.').waitFor();
  await page.getByLabel(FILTER).fill('dryer');
  await shown(page, ({ rows }) => rows.length === 1 && rows[0].name === 'dryer/none');
  await page.getByRole('button', { name: REFUSED }).click();
  const { search } = await stateOf(page);
  assert.equal(search, `?${new URLSearchParams({ match: 'dryer', problems: '1', at: REFUSED })}`);

  await page.reload();
  await shown(page, ({ rows }) => rows.length === 1 && rows[0].name === 'dryer/none');
  assert.equal((await stateOf(page)).search, search);
  assert.equal(await page.getByLabel(FILTER).inputValue(), 'dryer');
  assert.ok(await page.getByLabel(ONLY).isChecked());
  const { tags: [told] } = await (await fetch(`${base}/api/v1/collectors/tags?tags=${REFUSED}`)).json();
  const detail = page.getByTestId('tag-detail');
  assert.ok((await detail.innerText()).includes(told.last_error), 'the whole error');
  assert.match(await detail.innerText(), /input:5000/);
});

test('W22 a device that comes back is in order without a reload, and its gap leads to the trend', async (t) => {
  const { base, down, later } = await plant(t);
  const page = await openPage(t, '/collectors/gateway', { base });
  await shown(page, ALL_KNOWN);
  await page.evaluate(() => (globalThis.notReloaded = true));
  down.delete(2);
  await shown(page, ({ problems }) => problems === 1);
  assert.deepEqual(await rowsOf(page), [REFUSED, ...WELL, ...DOWN]);
  assert.deepEqual([await textOf(page, 'kiln/temperature', 'value'), await textOf(page, 'kiln/temperature', 'quality')], ['87', 'Good']);

  await page.getByRole('link', { name: 'Collectors', exact: true }).first().click();
  await page.getByRole('link', { name: 'press', exact: true }).click();
  const dead = await shown(page, ({ problems }) => problems === 1);
  assert.equal(dead.rows[0].last?.value ?? null, null);
  await startModbus(t, later);
  await shown(page, ({ problems, state }) => problems === 0 && state === 'running');
  assert.deepEqual([await textOf(page, 'press/force', 'value'), await textOf(page, 'press/force', 'unit')], ['143', 'kN']);
  assert.equal(await page.evaluate(() => globalThis.notReloaded), true);

  await page.getByRole('button', { name: 'Gaps' }).click();
  const gap = page.getByTestId('gaps').locator('tbody tr').filter({ hasText: 'the device did not answer' });
  await gap.first().waitFor();
  const { gaps } = await (await fetch(`${base}/api/v1/gaps?tags=press/force`)).json();
  const { start } = gaps.find(({ reason }) => reason === 'device_down');
  await page.reload();
  await gap.first().getByRole('link').click();
  const view = await settled(page);
  assert.deepEqual(view.view.tags, ['press/force']);
  assert.ok(BigInt(view.range.start) < BigInt(start) && BigInt(view.range.end) > BigInt(start), 'the gap is in sight');
});

test('W22 ages tick while nothing moves: rows keep their places and columns their widths', async (t) => {
  for (const viewport of [{ width: 1440, height: 900 }, { width: 380, height: 800 }]) {
    const { base } = await plant(t);
    const page = await openPage(t, '/collectors/gateway', { base, viewport });
    await shown(page, ALL_KNOWN);
    await row(page, 'dryer/temperature').getByText('°C').waitFor();
    const places = () => page.evaluate(() => [...document.querySelectorAll('.collected [role=cell]')].map((cell) => {
      const { x, y, width, height } = cell.getBoundingClientRect();
      return [cell.className, x, y, width, height].join(' ');
    }));
    const before = await places();
    const age = () => textOf(page, REFUSED, 'age');
    // From one digit to two.
    const first = await age();
    await page.waitForFunction(() => /^\d\d s$/.test(document.querySelector('[data-tag="dryer/none"] .row-age').textContent));
    assert.notEqual(await age(), first);
    assert.deepEqual(await places(), before);
  }
});

test('W13 the tags of a device can be reached, walked and opened with the keyboard alone', async (t) => {
  const { base } = await plant(t);
  const page = await openPage(t, '/collectors/gateway', { base });
  await shown(page, ALL_KNOWN);
  const focused = () => page.evaluate(() => document.activeElement?.closest('[data-tag]')?.dataset.tag ?? null);
  for (let presses = 0; presses < 30 && await focused() === null; presses++) await page.keyboard.press('Tab');
  assert.equal(await focused(), REFUSED);
  for (const [key, name] of [['ArrowDown', DOWN[0]], ['End', WELL[1]], ['ArrowUp', WELL[0]], ['Home', REFUSED], ['ArrowDown', DOWN[0]]]) {
    await page.keyboard.press(key);
    await page.waitForFunction((wanted) => document.activeElement?.closest('[data-tag]')?.dataset.tag === wanted, name);
  }
  await page.keyboard.press('Enter');
  await page.getByTestId('tag-detail').getByRole('heading', { name: DOWN[0] }).waitFor();
  assert.equal(await page.locator(`[data-tag="${DOWN[0]}"] button`).getAttribute('aria-expanded'), 'true');
  await page.keyboard.press('Escape');
  await page.getByTestId('tag-detail').waitFor({ state: 'detached' });
  assert.equal(await focused(), DOWN[0]);
});

test('W13 no serious finding of axe on the tags of a device, and W14 it fits a phone, in both themes', async (t) => {
  const { base } = await plant(t);
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  for (const colorScheme of ['light', 'dark']) {
    for (const viewport of [{ width: 1440, height: 900 }, { width: 380, height: 800 }]) {
      for (const path of ['/collectors', `/collectors/gateway?at=${REFUSED}`, '/collectors/gateway?show=gaps']) {
        const page = await openPage(t, path, { base, colorScheme, viewport });
        if (path !== '/collectors') await shown(page, ALL_KNOWN);
        await page.getByText('degraded').first().waitFor();
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
        const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
        assert.deepEqual(serious.map(({ id, nodes }) => [path, id, nodes.map((node) => node.html)]), []);
        const { scroll, inner } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, inner: innerWidth }));
        assert.ok(scroll <= inner, `${path} is ${scroll} wide on ${inner}`);
        await page.context().close();
      }
    }
  }
});

test('W15 whoever may not administer sees the devices of the tags that they may read, as far as it is of these, and is told so', async (t) => {
  const server = await plant(t);
  createToken(server.data, 'boss', '--role', 'admin');
  const reader = createToken(server.data, 'ana', '--role', 'reader', '--tags', 'dryer/**');
  const writer = createToken(server.data, 'wim', '--role', 'writer');
  await untilClosed(server);
  const page = await openPage(t, '/collectors', { base: server.base });
  await signIn(page, reader);
  const card = page.getByRole('region', { name: 'gateway', exact: true });
  await page.getByText('These are the devices of the tags that you may read.').waitFor();
  // The unit that does not answer has none of these tags.
  await card.getByText('2 of 3 deliver').waitFor();
  await card.getByText('degraded', { exact: true }).waitFor();
  const isLimited = async () => {
    const text = await card.innerText();
    assert.match(text, /p50 [\d.]+ (µs|ms), p99 [\d.]+ (µs|ms|s)/);
    assert.match(text, /Connections/);
    assert.doesNotMatch(text, /127\.0\.0\.1|Requests|Samples|Last error|refuses/);
    assert.doesNotMatch(await page.locator('main').innerText(), /kiln|press|127\.0\.0\.1/);
    assert.equal(await page.getByRole('alert').count(), 0);
  };
  await isLimited();
  await page.getByRole('link', { name: 'gateway', exact: true }).click();
  await page.getByText('Counts are of the tags that you may read.').waitFor();
  await shown(page, ({ total, problems, state }) => total === 3 && problems === 1 && state === 'degraded');
  assert.deepEqual(await rowsOf(page), [REFUSED, ...WELL]);
  await isLimited();
  await page.goto(`${server.base}/collectors/press`);
  await page.getByText('There is no device of this name now, or none with a tag that you may read.').waitFor();

  const other = await openPage(t, '/collectors', { base: server.base });
  await signIn(other, writer);
  await other.getByText('No tag that you may read is collected from a device.').waitFor();
  await other.goto(`${server.base}/collectors/gateway`);
  await other.getByText('To see a device takes the right to read one of its tags, which you do not have.').waitFor();
  assert.equal(await other.getByRole('alert').count(), 0);
});

test('a device that there is not, and a historian that is gone, are told in words', async (t) => {
  const server = await plant(t);
  const page = await openPage(t, '/collectors/nowhere', { base: server.base });
  await page.getByText('There is no device of this name now.').waitFor();
  await page.getByText('The device has no tags, or none that you may read.').waitFor();
  await page.goto(`${server.base}/collectors/gateway`);
  await shown(page, ALL_KNOWN);
  await server.kill();
  await page.getByTestId('disconnected').waitFor();
  assert.equal((await rowsOf(page)).length, 5, 'what is shown stays');
});
