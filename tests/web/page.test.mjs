// The acceptance of the web page, in a browser against a running historian. Nothing is timed: requests, points and values are counted.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { before, test } from 'node:test';
import {
  ask, createToken, directory, drag, historian, HTTP, importSamples, importTags, newContext, ns, openPage, PATIENCE_MS, python, requestsOf, rfc, settled, signIn, startHistorian, stateOf, trend, untilClosed,
} from './support.mjs';

const MINUTE = 60_000_000_000n;
const HOUR = 60n * MINUTE;
const YEAR_START = ns('2025-01-01T00:00:00Z');
const SPIKE = YEAR_START + 301_234n * MINUTE;
const DAY = '2026-02-03';
const AT = (clock) => `${DAY}T${clock}Z`;
const HOSTILE = '<img onerror=globalThis.stolen=1 src=x>';
const UNIT_TAGS = ['unit/temperature', 'unit/pressure', 'unit/valve', 'unit/mode'];
const VIEW = { start: AT('08:00:00'), end: AT('12:00:00') };

before(() => {
  importTags([
    'name,type,unit,description,stepped,range_low,range_high,state_set',
    'unit/temperature,f64,Cel,Temperature of the reactor,false,0,200,',
    'unit/pressure,f64,bar,Pressure of the reactor,false,0,10,',
    'unit/valve,f64,Cel,Set point that holds,true,0,200,',
    'unit/mode,i64,,Mode,true,,,',
    'year/temperature,f64,Cel,A year of minutes,false,,,',
    'year/pressure,f64,bar,A year of minutes,false,,,',
    'quiet/level,f64,mm,Reports changes only,false,,,',
    'laboratory/ph,f64,[pH],Once an hour,false,,,',
    'civil/hour,f64,h,Hour of the day in Berlin,true,,,',
  ]);
  const seconds = Array.from({ length: 14_400 }, (_, second) => ns(AT('08:00:00')) + BigInt(second) * 1_000_000_000n);
  const clock = (time) => rfc(time).slice(11, 19);
  // Ten bad minutes from 09:00, ten without samples from 10:00, five uncertain from 11:00.
  importSamples(['tag,timestamp,value,quality', ...seconds.flatMap((time, at) => {
    const now = clock(time);
    if (now >= '10:00:00' && now < '10:10:00') return now === '10:00:00' ? [`unit/temperature,${time},,BadNoData`] : [];
    if (now >= '09:00:00' && now < '09:10:00') return [`unit/temperature,${time},,BadSensorFailure`];
    const quality = now >= '11:00:00' && now < '11:05:00' ? 'UncertainSensorNotAccurate' : 'Good';
    return [`unit/temperature,${time},${(80 + 10 * Math.sin(at / 700)).toFixed(6)},${quality}`];
  })]);
  importSamples(['tag,timestamp,value', ...seconds.filter((_, at) => at % 10 === 0).map((time, at) => `unit/pressure,${time},${(4 + Math.cos(at / 60) / 3).toFixed(9)}`)]);
  importSamples(['tag,timestamp,value', ...seconds.filter((_, at) => at % 300 === 0).map((time, at) => `unit/valve,${time},${60 + (at % 7) * 3}`)]);
  importSamples(['tag,timestamp,value', ...seconds.filter((_, at) => at % 600 === 0).map((time, at) => `unit/mode,${time},${9007199254740993n + BigInt(at)}`)]);
  const reports = [...Array(361).keys()].flatMap((at) => [ns(AT('08:00:00')), ns(AT('11:00:00'))].map((start) => start + BigInt(at) * 10_000_000_000n));
  importSamples(['tag,timestamp,value', ...reports.map((time, at) => `quiet/level,${time},${at}.5`)]);
  importSamples(['tag,timestamp,value', ...Array.from({ length: 72 }, (_, hour) => `laboratory/ph,${ns(`${DAY}T00:00:00Z`) + BigInt(hour - 24) * HOUR},${7 + (hour % 5) / 10}`)]);
  const minutes = Array.from({ length: 525_600 }, (_, minute) => YEAR_START + BigInt(minute) * MINUTE);
  importSamples(['tag,timestamp,value', ...minutes.map((time, at) => `year/temperature,${time},${time === SPIKE ? 9999 : (50 + 5 * Math.sin(at / 500)).toFixed(3)}`)]);
  importSamples(['tag,timestamp,value', ...minutes.filter((_, at) => at % 5 === 0).map((time, at) => `year/pressure,${time},${(3 + Math.sin(at / 90)).toFixed(3)}`)]);
  const hours = Array.from({ length: 24 * 60 }, (_, hour) => ns('2026-03-10T00:00:00Z') + BigInt(hour) * HOUR);
  importSamples(['tag,timestamp,value', ...hours.map((time) => `civil/hour,${time},${berlinHour(time)}`)]);
  importSamples(['tag,timestamp,value', ...Array.from({ length: 24 * 30 }, (_, hour) => ns('2026-10-10T00:00:00Z') + BigInt(hour) * HOUR).map((time) => `civil/hour,${time},${berlinHour(time)}`)]);
  importSamples(['tag,timestamp,value', `"${HOSTILE}",${ns(AT('08:00:00'))},1`]);
  const many = Array.from({ length: 100_000 }, (_, tag) =>
    `many/line${String(tag % 100).padStart(2, '0')}/sensor${String(tag).padStart(6, '0')},${ns(AT('09:00:00'))},${tag}`);
  // The import asks for each tag, and a client may ask 10,000 times a second.
  for (let from = 0; from < many.length; from += 5_000) importSamples(['tag,timestamp,value', ...many.slice(from, from + 5_000)]);
});

function berlinHour(time) {
  return Number(new Intl.DateTimeFormat('en-GB', { timeZone: 'Europe/Berlin', hour: 'numeric', hourCycle: 'h23' }).format(Number(time / 1_000_000n)));
}

/** Times of a pen's drawn run, absolute. */
const absolute = (drawn, offset) => BigInt(drawn.origin) + BigInt(Math.round(offset));

test('W1 it works with every foreign request blocked, and makes none', async (t) => {
  const context = await newContext();
  t.after(() => context.close());
  const foreign = [];
  await context.route('**/*', (route) => {
    const { origin } = new URL(route.request().url());
    if (origin === new URL(HTTP).origin) return route.fallback();
    foreign.push(route.request().url());
    return route.abort();
  });
  const page = await context.newPage();
  await page.goto(HTTP + trend(UNIT_TAGS, VIEW));
  await settled(page);
  for (const screen of ['Tags', 'Collectors', 'Findings', 'System']) {
    await page.getByRole('link', { name: screen, exact: true }).click();
    await page.getByRole('heading', { level: 1, name: screen }).waitFor();
  }
  assert.deepEqual(foreign, []);
});

test('W2 three letters and Enter draw a trace among 100,000 tags; a click gives the same state', async (t) => {
  const page = await openPage(t, '/?start=2026-02-03T08:00:00Z&end=2026-02-03T12:00:00Z');
  await page.keyboard.press('/');
  await page.keyboard.type('emp');
  await page.keyboard.press('Enter');
  const typed = await settled(page);
  assert.equal(typed.pens.length, 1);
  assert.match(typed.pens[0].name, /emp/);
  assert.ok((await requestsOf(page, 'tags')).length <= 5);
  const { search } = await stateOf(page);

  const other = await openPage(t, '/?start=2026-02-03T08:00:00Z&end=2026-02-03T12:00:00Z');
  await other.getByRole('combobox', { name: 'Add a tag' }).fill('emp');
  await other.locator('[role=option]', { hasText: typed.pens[0].name }).first().click();
  await settled(other);
  assert.equal((await stateOf(other)).search, search);

  await page.goto(`${HTTP}/tags`);
  await page.waitForFunction(() => globalThis.historian.state().tags?.loaded >= 1000);
  assert.ok((await page.getByRole('row').count()) < 120, 'rows out of sight are not in the document');
  await page.getByRole('status').filter({ hasText: /^100,0\d\d tags$/ }).waitFor();
  await page.getByLabel('Filter tags').fill('sensor 077 line01');
  await page.waitForFunction(() => globalThis.historian.state().tags.match === 'sensor 077 line01');
  const { tags } = await stateOf(page);
  assert.ok(tags.complete && tags.loaded > 0);
  assert.equal(tags.total, tags.loaded);
  for (const name of tags.shown) assert.match(name, /line01.*077/);
});

test('W3 a year to minutes: one request per lane and settled zoom, bounded points, the spike in sight', async (t) => {
  const page = await openPage(t, trend(['year/temperature', 'year/pressure'], { start: rfc(YEAR_START), end: rfc(YEAR_START + 525_600n * MINUTE) }));
  let view = await settled(page);
  let asked = (await requestsOf(page, 'plot')).length;
  assert.equal(asked, 2);
  const width = (await page.getByTestId('surface').boundingBox()).width;
  for (let zoom = 0; zoom < 8; zoom++) {
    for (const pen of view.pens) assert.ok(pen.points.count <= 5 * width + 2, `${pen.points.count} points on ${width} pixels`);
    const spike = view.pens.find((pen) => pen.name === 'year/temperature').points;
    assert.equal(Math.max(...spike.values), 9999);
    assert.equal(BigInt(spike.times[spike.values.indexOf(9999)]), SPIKE);
    const span = Number(BigInt(view.range.end) - BigInt(view.range.start));
    const at = Number(SPIKE - BigInt(view.range.start)) / span;
    await drag(page, Math.max(0.02, at - 0.1), Math.min(0.98, at + 0.1));
    view = await settled(page, ({ range }) => range.start !== view.range.start);
    const now = (await requestsOf(page, 'plot')).length;
    assert.equal(now - asked, 2, 'one request for each of two lanes');
    asked = now;
  }
  assert.ok(BigInt(view.range.end) - BigInt(view.range.start) < 10n * HOUR);
});

test('W3 superseded requests are aborted', async (t) => {
  const page = await openPage(t, trend(['year/temperature'], { start: rfc(YEAR_START), end: rfc(YEAR_START + 525_600n * MINUTE) }));
  await settled(page);
  const held = [];
  await page.route('**/api/v1/plot', (route) => held.push(route));
  await page.getByRole('button', { name: 'Zoom in' }).click();
  await page.waitForFunction(() => globalThis.historian.state().requests.filter(({ path }) => path === 'plot').length === 2);
  await page.getByRole('button', { name: 'Zoom in' }).click();
  await page.waitForFunction(() => globalThis.historian.state().requests.filter(({ path }) => path === 'plot').length === 3);
  await page.unroute('**/api/v1/plot');
  for (const route of held) await route.continue().catch(() => {});
  await settled(page);
  const [, second, third] = await requestsOf(page, 'plot');
  assert.equal(second.aborted, true);
  assert.equal(third.aborted, false);
});

test('W4 neighbouring points of a stepped pen share their time or their value', async (t) => {
  const page = await openPage(t, trend(['unit/valve', 'unit/temperature'], VIEW));
  const { pens } = await settled(page);
  const { drawn } = pens.find((pen) => pen.name === 'unit/valve');
  let corners = 0;
  for (const { xs, ys } of drawn.runs) {
    for (let at = 1; at < xs.length; at++) {
      assert.ok(xs[at] === xs[at - 1] || ys[at] === ys[at - 1]);
      corners += 1;
    }
  }
  assert.ok(corners > 50);
});

test('W4 a sloped pen that was silent for longer than usual says so, at every zoom, and reads what the engine answers', async (t) => {
  const silent = ({ pens: [{ drawn }] }) => drawn.runs.filter((run) => run.silentNs > 0).map(({ xs }) => [absolute(drawn, xs[0]), absolute(drawn, xs.at(-1))]);
  const [from, to] = [ns(AT('09:00:00')), ns(AT('11:00:00'))];
  const pin = ns(AT('10:00:00')) + 7n;
  const page = await openPage(t, trend(['quiet/level'], { ...VIEW, a: rfc(pin) }));
  const view = await settled(page, ({ pins }) => pins.a);
  assert.deepEqual(silent(view), [[from, to]]);
  const answer = await ask('range', { tags: ['quiet/level'], start: rfc(pin), end: rfc(pin + 1n), layout: 'WIDE', fill: 'LINEAR', step: '1s' });
  const cell = page.getByTestId('pens').locator('[data-pin=a]');
  assert.equal(await cell.getAttribute('data-exact'), String(answer.data['quiet/level'][0]));
  assert.match(await cell.innerText(), /nothing reported for 2 h$/);
  // Within the silence, and with two and with three samples beside it.
  for (const [start, end, wanted] of [['09:30:00', '10:30:00', [['09:30:00', '10:30:00']]], ['09:59:30', '10:00:30', [['09:59:30', '10:00:30']]],
    ['08:59:55', '11:00:05', [['09:00:00', '11:00:00']]], ['08:59:45', '10:00:00', [['09:00:00', '10:00:00']]], ['08:30:00', '08:40:00', []]]) {
    await page.goto(HTTP + trend(['quiet/level'], { start: AT(start), end: AT(end) }));
    const zoomed = await settled(page);
    for (const { silentNs } of zoomed.pens[0].drawn.runs.filter((run) => run.silentNs > 0)) assert.equal(silentNs, Number(2n * HOUR), 'also where the view has less of it');
    assert.deepEqual(silent(zoomed), wanted.map((times) => times.map((time) => ns(AT(time)))), `${start} to ${end}`);
  }
  // Once an hour is usual for a tag that is sampled in the laboratory; a year of minutes is reduced, and silent nowhere.
  for (const [start, end] of [['00:00:00', '23:00:00'], ['08:10:00', '09:40:00'], ['08:10:00', '08:50:00']]) {
    await page.goto(HTTP + trend(['laboratory/ph'], { start: AT(start), end: AT(end) }));
    assert.deepEqual(silent(await settled(page)), [], `${start} to ${end}`);
  }
  for (const days of [365n, 30n, 3n]) {
    await page.goto(HTTP + trend(['year/pressure'], { start: rfc(YEAR_START), end: rfc(YEAR_START + days * 24n * HOUR) }));
    assert.deepEqual(silent(await settled(page)), [], `${days} days`);
  }
});

test('W5 Bad is a band with its reason and no number; a gap has the reason of the ledger; Uncertain is marked', async (t) => {
  const page = await openPage(t, '/');
  await page.route('**/api/v1/gaps*', (route) => route.fulfill({
    json: { gaps: [{ number: '1', tag: 'unit/temperature', start: String(ns(AT('10:00:00'))), end: String(ns(AT('10:10:00'))), reason: 'collector_down' }], next: '0' },
  }));
  await page.goto(HTTP + trend(['unit/temperature'], { ...VIEW, a: AT('09:05:00'), b: AT('10:05:00') }));
  const view = await settled(page, ({ pens, pins }) => pens[0].drawn.bands.some((band) => band.kind === 'gap') && pins.b);
  const { drawn } = view.pens[0];
  const pixel = Number(4n * HOUR) / (await page.getByTestId('surface').boundingBox()).width;
  const bad = drawn.bands.find((band) => band.kind === 'bad');
  assert.equal(bad.reason, 'BadSensorFailure');
  assert.ok(Math.abs(Number(absolute(drawn, bad.from) - ns(AT('09:00:00')))) <= pixel);
  assert.ok(Math.abs(Number(absolute(drawn, bad.to) - ns(AT('09:10:00')))) <= pixel);
  const gap = drawn.bands.find((band) => band.kind === 'gap');
  assert.equal(gap.reason, 'the historian did not run');
  assert.ok(Math.abs(Number(absolute(drawn, gap.to) - ns(AT('10:10:00')))) <= pixel);
  for (const { xs } of drawn.runs) {
    for (const band of [bad, gap]) assert.ok(xs.at(-1) <= band.from + pixel || xs[0] >= band.to - pixel, 'no line crosses a band');
  }
  const uncertain = drawn.runs.filter((run) => run.uncertain);
  assert.ok(uncertain.some(({ xs }) => absolute(drawn, xs[0]) <= ns(AT('11:00:00')) && absolute(drawn, xs.at(-1)) >= ns(AT('11:04:00'))));
  const row = page.getByTestId('pens').locator('tbody tr').first();
  assert.equal(await row.locator('[data-pin=a]').innerText(), 'Bad: BadSensorFailure');
  assert.equal(await row.locator('[data-pin=b]').innerText(), 'No data: the historian did not run');
  for (const pin of ['a', 'b']) assert.equal(await row.locator(`[data-pin=${pin}]`).getAttribute('data-exact'), '');
});

test('W5 a view that begins or ends within a Bad run has no number there', async (t) => {
  const page = await openPage(t, trend(['unit/temperature'], { start: AT('09:05:00'), end: AT('09:20:00') }));
  const begins = (await settled(page)).pens[0].drawn;
  assert.equal(absolute(begins, begins.bands[0].from), ns(AT('09:05:00')));
  assert.equal(begins.bands[0].reason, 'BadSensorFailure');
  assert.equal(absolute(begins, begins.runs[0].xs[0]), ns(AT('09:10:00')));
  await page.goto(HTTP + trend(['unit/temperature'], { start: AT('08:50:00'), end: AT('09:05:00') }));
  const ends = (await settled(page)).pens[0].drawn;
  assert.equal(absolute(ends, ends.bands.at(-1).to), ns(AT('09:05:00')));
  assert.equal(absolute(ends, ends.runs.at(-1).xs.at(-1)), ns(AT('08:59:59')));
});

test('W5 a corrected sample is marked and leads to its versions', async (t) => {
  const time = ns(AT('08:30:00'));
  importSamples(['tag,timestamp,value', `fixed/level,${time},7.25`, `fixed/level,${time + MINUTE},8`]);
  importSamples(['tag,timestamp,value', `fixed/level,${time},7.5`]);
  const page = await openPage(t, trend(['fixed/level'], VIEW));
  const { corrections } = await settled(page, (view) => view.corrections['fixed/level'] !== undefined);
  assert.deepEqual(corrections, { 'fixed/level': [String(time)] });
  await page.getByRole('link', { name: '1 corrected' }).click();
  await page.getByRole('cell', { name: '7.25', exact: true }).waitFor();
});

test('W6 the pinned reading is the engine’s to the last digit, and keys step pixel and sample', async (t) => {
  const moments = [ns(AT('08:20:00')) + 123_456_789n, ns(AT('11:30:00')) + 1n];
  const page = await openPage(t, trend(UNIT_TAGS, { ...VIEW, a: rfc(moments[0]), b: rfc(moments[1]) }));
  await settled(page, ({ pins }) => pins.a && pins.b);
  for (const [pin, time] of [['a', moments[0]], ['b', moments[1]]]) {
    const answer = await ask('range', { tags: UNIT_TAGS, start: rfc(time), end: rfc(time + 1n), layout: 'WIDE', fill: 'LINEAR', step: '1s' });
    for (const tag of UNIT_TAGS) {
      const cell = page.getByTestId('pens').locator('tr', { has: page.getByRole('link', { name: tag, exact: true }) }).locator(`[data-pin=${pin}]`);
      assert.equal(await cell.getAttribute('data-exact'), String(answer.data[tag][0]), `${tag} at ${pin}`);
    }
  }
  assert.match(String((await stateOf(page)).trend.pins.a['unit/mode'].value), /^90071992547409\d\d$/);
  await page.locator('.chart').focus();
  await page.keyboard.press('ArrowRight');
  const first = BigInt((await stateOf(page)).trend.cursor);
  await page.keyboard.press('ArrowRight');
  const width = Math.round((await page.getByTestId('surface').boundingBox()).width);
  assert.equal(BigInt((await stateOf(page)).trend.cursor) - first, (4n * HOUR) / BigInt(width));
  await page.keyboard.press('Control+ArrowRight');
  await page.waitForFunction(() => BigInt(globalThis.historian.state().trend.cursor) % 1_000_000_000n === 0n);
  const sample = BigInt((await stateOf(page)).trend.cursor);
  await page.keyboard.press('Control+ArrowRight');
  await page.waitForFunction((before) => globalThis.historian.state().trend.cursor !== before, String(sample));
  assert.equal(BigInt((await stateOf(page)).trend.cursor), sample + 1_000_000_000n);
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => globalThis.historian.state().trend.view.a === null);
});

test('W6 figures over the selection are the engine’s', async (t) => {
  const [start, end] = [AT('08:10:00'), AT('08:50:00')];
  const page = await openPage(t, trend(['unit/temperature', 'unit/valve'], { ...VIEW, a: start, b: end }));
  await settled(page, ({ statistics }) => statistics['unit/valve'] !== undefined);
  const { statistics } = (await stateOf(page)).trend;
  const answer = await ask('aggregate', { tags: ['unit/temperature', 'unit/valve'], start, end, functions: ['time_average', 'time_average2', 'minimum', 'maximum', 'percent_good'] });
  const of = (tag, name) => answer.data.value[answer.data.tag.findIndex((other, row) => other === tag && answer.data.function[row] === name)];
  assert.equal(statistics['unit/temperature'].average, of('unit/temperature', 'time_average'));
  assert.equal(statistics['unit/valve'].average, of('unit/valve', 'time_average2'));
  assert.equal(statistics['unit/valve'].maximum, of('unit/valve', 'maximum'));
  assert.equal(statistics['unit/temperature'].percentGood, of('unit/temperature', 'percent_good'));
});

test('W7 two units are two labelled lanes with one left edge', async (t) => {
  const page = await openPage(t, trend(['unit/temperature', 'unit/pressure', 'unit/valve'], VIEW));
  const view = await settled(page);
  assert.deepEqual(view.lanes.map(({ unit, pens }) => [unit, pens]), [['°C', ['unit/temperature', 'unit/valve']], ['bar', ['unit/pressure']]]);
  assert.deepEqual(await page.locator('.lane-unit').allInnerTexts(), ['°C', 'bar']);
  const edges = await page.locator('.u-over').evaluateAll((elements) => elements.map((element) => element.getBoundingClientRect()).map(({ left, width }) => [left, width]));
  assert.equal(edges.length, 2);
  assert.deepEqual(edges[0], edges[1]);
});

test('W8 a zoom pauses following, visibly, and going on catches up without loss', async (t) => {
  const begin = BigInt(Date.now()) * 1_000_000n - 60_000_000_000n;
  const live = (from, count) => importSamples(['tag,timestamp,value', ...Array.from({ length: count }, (_, at) => `live/level,${begin + BigInt(from + at) * 100_000_000n},${from + at}`)]);
  live(0, 20);
  const page = await openPage(t, trend(['live/level'], { start: '*-15m', end: '*', live: '1' }));
  await settled(page, ({ live: { state } }) => state === 'open');
  live(20, 20);
  await page.waitForFunction(() => globalThis.historian.state().trend.pens[0].points.values.includes(39));
  assert.equal(await page.getByTestId('live').getAttribute('data-state'), 'on');
  await drag(page, 0.2, 0.8);
  await page.waitForFunction(() => document.querySelector('[data-testid=live]').getAttribute('data-state') === 'paused');
  assert.match(await page.getByTestId('live').innerText(), /paused/i);
  const paused = await settled(page);
  live(40, 20);
  assert.equal((await stateOf(page)).trend.range.end, paused.range.end);
  await page.getByTestId('live').click();
  await page.waitForFunction(() => {
    const { values } = globalThis.historian.state().trend.pens[0].points;
    return Array.from({ length: 60 }, (_, at) => at).every((value) => values.includes(value));
  }, undefined, { timeout: PATIENCE_MS });
  assert.equal((await stateOf(page)).trend.view.start, '*-15m');
});

test('W9 reload and copied links give the same state; links to times are absolute', async (t) => {
  const page = await openPage(t, trend(UNIT_TAGS, { start: '*-400d', end: '*', zone: 'Europe/Berlin', hide: 'unit/valve', a: AT('09:30:00'), compare: '7' }));
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  const before = await settled(page);
  await page.reload();
  assert.deepEqual((await settled(page)).view, before.view);
  const copy = async (name) => {
    await page.getByRole('button', { name: 'Copy as' }).click();
    await page.getByRole('menuitem', { name, exact: true }).click();
    await page.getByText(`Copied: ${name}`).waitFor();
    return page.evaluate(() => navigator.clipboard.readText());
  };
  const same = await openPage(t, (await copy('Link to this view')).slice(HTTP.length));
  assert.deepEqual((await settled(same)).view, before.view);
  const { range } = (await stateOf(page)).trend;
  const absoluteLink = await copy('Link to these times');
  assert.equal(new URL(absoluteLink).searchParams.get('start'), rfc(BigInt(range.start)).replace(/\.?0+Z$/, 'Z'));
  const later = await openPage(t, absoluteLink.slice(HTTP.length));
  assert.deepEqual((await settled(later)).range, range);
  for (const [name, part] of [['curl', 'curl '], ['Python', 'historian_client.connect('], ['Python, pyarrow only', 'flight.connect('], ['SQL', 'FROM samples']]) assert.ok((await copy(name)).includes(part));
});

test('W10 a week earlier over days of 23 and 25 hours stands at the same civil time', async (t) => {
  for (const [start, end, hours] of [['2026-03-29', '2026-03-30', 23n], ['2026-10-25', '2026-10-26', 25n]]) {
    const page = await openPage(t, trend(['civil/hour'], { start, end, zone: 'Europe/Berlin', compare: '7' }));
    const view = await settled(page, ({ pens }) => pens[0].compared);
    assert.equal(BigInt(view.range.end) - BigInt(view.range.start), hours * HOUR);
    const { compared } = view.pens[0];
    let checked = 0;
    for (const { xs, ys } of compared.runs) {
      for (let at = 0; at + 1 < xs.length; at += 2) {
        const time = absolute(compared, xs[at]);
        if (time % HOUR !== 0n) continue;
        assert.equal(ys[at], berlinHour(time), rfc(time));
        checked += 1;
      }
    }
    assert.ok(checked >= 22, `${checked} hours`);
  }
});

async function download(page, name) {
  await page.getByRole('button', { name: 'Download' }).click();
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('menuitem', { name, exact: true }).click()]);
  return [await file.path(), file.suggestedFilename()];
}

test('W11 the CSV of the view is the engine’s answer, or the points as drawn', async (t) => {
  const page = await openPage(t, trend(['unit/valve', 'unit/pressure'], VIEW));
  const view = await settled(page);
  const [samples, name] = await download(page, 'All samples, CSV');
  assert.equal(name, 'historian-2026-02-03T080000Z.csv');
  const parameters = new URLSearchParams([['tag', 'unit/valve'], ['tag', 'unit/pressure'], ['start', VIEW.start], ['end', VIEW.end], ['format', 'csv']]);
  assert.equal(readFileSync(samples, 'utf8'), await (await fetch(`${HTTP}/api/v1/range?${parameters}`)).text());
  const drawn = readFileSync((await download(page, 'Points as drawn, CSV'))[0], 'utf8').trim().split('\r\n');
  assert.equal(drawn[0], 'tag,timestamp (UTC),value,quality');
  assert.equal(drawn.length - 1, view.pens.reduce((sum, pen) => sum + pen.points.count, 0));
});

test('W11 the Parquet of the view opens in DuckDB, and is what the command line answers, or the points as drawn', async (t) => {
  const page = await openPage(t, trend(['unit/valve', 'year/pressure', 'unit/temperature'], { start: '2025-06-01T00:00:00Z', end: AT('08:50:00'), hide: 'unit/valve' }));
  const view = await settled(page);
  const rows = (file) => JSON.parse(python(`
import json, sys, duckdb
rows = duckdb.sql("SELECT tag, epoch_ns(timestamp), value, quality FROM read_parquet('" + sys.argv[1] + "')").fetchall()
print(json.dumps([[tag, str(time), value, quality] for tag, time, value, quality in rows]))`, file));
  const [samples, name] = await download(page, 'All samples, Parquet');
  assert.equal(name, 'historian-2025-06-01T000000Z.parquet');
  const answer = historian(['query', 'range', ...view.view.tags, '--start', view.view.start, '--end', view.view.end, '--format', 'csv']).trim().split('\n').slice(1);
  const told = rows(samples);
  assert.equal(told.length, answer.length);
  assert.ok(told.length > 60_000);
  const line = (text) => text.trim().split(',');
  told.forEach(([tag, time, value, quality], row) => {
    const [tagTold, timeTold, valueTold, qualityTold] = line(answer[row]);
    assert.deepEqual([tag, BigInt(time), value, quality], [tagTold, ns(timeTold), valueTold === '' ? null : Number(valueTold), Number(qualityTold)]);
  });
  const drawn = rows((await download(page, 'Points as drawn, Parquet'))[0]);
  for (const { name: tag, points, hidden } of view.pens) {
    const own = hidden ? [] : points.times.map((time, row) => [tag, time, points.values[row], points.qualities[row]]);
    assert.deepEqual(drawn.filter(([other]) => other === tag), own, tag);
  }
});

test('W13 no serious finding of axe, in both themes, on every screen', async (t) => {
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  for (const colorScheme of ['light', 'dark']) {
    const page = await openPage(t, trend(UNIT_TAGS, { ...VIEW, a: AT('09:30:00'), b: AT('09:05:00') }), { colorScheme });
    for (const path of [null, '/tags', '/tags/unit/temperature', '/collectors', '/findings?detector=sigma&tags=unit/*&start=2026-02-03T08:00:00Z&end=2026-02-03T12:00:00Z&run=1', '/system']) {
      if (path) await page.goto(HTTP + path);
      await page.waitForLoadState('networkidle');
      if (!path) await settled(page);
      assert.equal((await stateOf(page)).theme, colorScheme);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
      const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
      assert.deepEqual(serious.map(({ id, nodes }) => [path, id, nodes.map((node) => node.html)]), []);
    }
  }
});

test('W13 traces have a contrast of 3:1 and more, in both themes', async (t) => {
  for (const colorScheme of ['light', 'dark']) {
    const tags = Array.from({ length: 8 }, (_, at) => `many/line0${at}/sensor00000${at}`);
    const page = await openPage(t, trend(tags, VIEW), { colorScheme });
    await settled(page);
    const ratios = await page.evaluate(() => {
      const luminance = (text) => {
        const [red, green, blue] = text.match(/[\d.]+/g).map(Number).map((part) => part / 255).map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
      };
      const ground = luminance(getComputedStyle(document.querySelector('.chart')).backgroundColor);
      return [...document.querySelectorAll('.pen-label i')].map((line) => luminance(getComputedStyle(line).backgroundColor))
        .map((trace) => (Math.max(trace, ground) + 0.05) / (Math.min(trace, ground) + 0.05));
    });
    assert.equal(ratios.length, 8);
    for (const ratio of ratios) assert.ok(ratio >= 3, `${ratio} in ${colorScheme}`);
  }
});

test('W13 the keyboard alone adds a pen, zooms, pins and goes back', async (t) => {
  const page = await openPage(t, `/?start=${VIEW.start}&end=${VIEW.end}`);
  await page.keyboard.press('/');
  await page.keyboard.type('unit/press');
  await page.getByRole('option').first().waitFor();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  const before = await settled(page);
  for (let presses = 0; presses < 40; presses++) {
    if (await page.evaluate(() => document.activeElement?.classList.contains('chart'))) break;
    await page.keyboard.press('Tab');
  }
  assert.ok(await page.evaluate(() => document.activeElement.classList.contains('chart')), 'the chart can be reached with Tab');
  for (const key of ['ArrowRight', 'Enter', 'Shift+ArrowRight', 'Shift+ArrowRight', 'Enter']) await page.keyboard.press(key);
  await page.waitForFunction(() => globalThis.historian.state().trend.pins.b);
  await page.keyboard.press('z');
  const { view, range } = await settled(page, (now) => now.range.start !== before.range.start);
  assert.equal(range.start, view.a);
  assert.equal(range.end, view.b);
  await page.goBack();
  assert.deepEqual((await settled(page, (now) => now.range.start === before.range.start)).range, before.range);
});

test('W14 pinch on a touch screen; one column below 750 pixels', async (t) => {
  const page = await openPage(t, trend(['unit/temperature', 'unit/pressure'], VIEW), { viewport: { width: 1024, height: 768 }, hasTouch: true });
  const before = await settled(page);
  const box = await page.getByTestId('surface').boundingBox();
  const session = await page.context().newCDPSession(page);
  const touch = (type, ...shares) => session.send('Input.dispatchTouchEvent', { type, touchPoints: shares.map((share, id) => ({ x: box.x + box.width * share, y: box.y + 40, id })) });
  await touch('touchStart', 0.4, 0.6);
  for (const move of [0.05, 0.1, 0.15]) await touch('touchMove', 0.4 - move, 0.6 + move);
  await touch('touchEnd');
  const after = await settled(page, (now) => now.range.start !== before.range.start);
  const ratio = Number(BigInt(after.range.end) - BigInt(after.range.start)) / Number(4n * HOUR);
  assert.ok(Math.abs(ratio - 0.4) < 0.05, `${ratio}`);
  await page.getByTestId('surface').tap({ position: { x: 200, y: 30 } });
  await page.waitForFunction(() => globalThis.historian.state().trend.view.a !== null);

  const phone = await openPage(t, trend(['unit/temperature', 'unit/pressure'], VIEW), { viewport: { width: 390, height: 844 }, hasTouch: true });
  await settled(phone);
  for (const path of [null, '/tags', '/tags/unit/temperature', '/collectors', '/findings', '/system']) {
    if (path) await phone.goto(HTTP + path);
    await phone.waitForLoadState('networkidle');
    const { scroll, inner } = await phone.evaluate(() => ({ scroll: document.documentElement.scrollWidth, inner: innerWidth }));
    assert.ok(scroll <= inner, `${path ?? 'trend'} is ${scroll} wide on ${inner}`);
  }
});

test('W15 a tag that looks like HTML stays text', async (t) => {
  const page = await openPage(t, '/');
  await page.getByRole('combobox', { name: 'Add a tag' }).fill('<img');
  await page.getByRole('option', { name: HOSTILE }).click();
  await settled(page);
  await page.getByRole('link', { name: HOSTILE }).click();
  await page.getByRole('heading', { name: HOSTILE }).waitFor();
  await page.goto(`${HTTP}/tags?match=%3Cimg`);
  await page.getByRole('link', { name: HOSTILE }).waitFor();
  assert.equal(await page.evaluate(() => globalThis.stolen), undefined);
  assert.equal(await page.locator('img[onerror]').count(), 0);
});

test('W15 a tag that a token may not read appears nowhere, and a token is asked for', async (t) => {
  const data = join(directory, 'rights');
  const server = await startHistorian(t, data);
  importSamples(['tag,timestamp,value', ...['open/level', 'secret/level'].map((tag) => `${tag},${ns(AT('08:00:00'))},1`)], server);
  createToken(data, 'boss', '--role', 'admin');
  const reader = createToken(data, 'ana', '--role', 'reader', '--tags', 'open/**');
  await untilClosed(server);
  const page = await openPage(t, trend(['secret/level', 'open/level'], VIEW), { base: server.base });
  await signIn(page, reader);
  const view = await settled(page, ({ pens }) => pens.length === 1);
  assert.deepEqual(view.missing, ['secret/level']);
  assert.equal(view.problem, '');
  await page.getByRole('combobox', { name: 'Add a tag' }).fill('level');
  await page.getByRole('option', { name: 'open/level' }).waitFor();
  assert.equal(await page.locator('[role=option]').count(), 1);
  await page.getByRole('link', { name: 'Tags', exact: true }).click();
  await page.waitForFunction(() => globalThis.historian.state().tags?.complete);
  assert.deepEqual((await stateOf(page)).tags.shown, ['open/level']);
  await page.getByRole('link', { name: 'System', exact: true }).click();
  await page.getByText('This needs a right that you do not have').first().waitFor();
});

test('W16 the historian is killed: the view stays and says since when, and heals without a reload', async (t) => {
  const data = join(directory, 'killed');
  const first = await startHistorian(t, data);
  const now = BigInt(Date.now()) * 1_000_000n;
  const samples = (from) => Array.from({ length: 10 }, (_, at) => `kill/level,${now - 600_000_000_000n + BigInt(from + at) * 1_000_000_000n},${from + at}`);
  importSamples(['tag,timestamp,value', ...samples(0)], first);
  const page = await openPage(t, trend(['kill/level'], { start: '*-1h', end: '*' }), { base: first.base });
  await page.evaluate(() => (globalThis.sameDocument = true));
  const before = await settled(page);
  await first.kill();
  await page.getByTestId('disconnected').waitFor();
  assert.match(await page.getByTestId('disconnected').innerText(), /^Disconnected since \d+:\d\d:\d\d/);
  assert.deepEqual((await stateOf(page)).trend.pens[0].points, before.pens[0].points);
  const second = await startHistorian(t, data, { listen: first.address, http: first.http });
  importSamples(['tag,timestamp,value', ...samples(10)], second);
  await page.getByTestId('disconnected').waitFor({ state: 'detached' });
  await settled(page, ({ pens }) => pens[0].points.values.includes(9));
  await page.getByRole('button', { name: '1 h', exact: true }).click();
  await page.getByRole('button', { name: '8 h', exact: true }).click();
  await settled(page, ({ pens }) => pens[0].points.values.includes(19));
  assert.equal(await page.evaluate(() => globalThis.sameDocument), true);
});

test('W17 twenty zooms and twenty backs return to the nanosecond, one entry each; a pan asks when it has settled', async (t) => {
  const page = await openPage(t, trend(['year/temperature'], { start: rfc(YEAR_START), end: rfc(YEAR_START + 525_600n * MINUTE) }));
  const ranges = [(await settled(page)).range];
  const entries = await page.evaluate(() => history.length);
  for (let zoom = 0; zoom < 20; zoom++) {
    await drag(page, 0.2, 0.75, { steps: 2 });
    ranges.push((await settled(page, (now) => now.range.start !== ranges.at(-1).start)).range);
  }
  assert.equal(await page.evaluate(() => history.length), entries + 20);
  for (let back = 19; back >= 0; back--) {
    await page.goBack();
    assert.deepEqual((await settled(page, (now) => now.range.start === ranges[back].start)).range, ranges[back]);
  }
  const asked = (await requestsOf(page, 'plot')).length;
  const box = await page.getByTestId('surface').boundingBox();
  await page.keyboard.down('Shift');
  await page.mouse.move(box.x + box.width * 0.6, box.y + 50);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.4, box.y + 50, { steps: 8 });
  const panned = (await stateOf(page)).trend.range;
  assert.notEqual(panned.start, ranges[0].start);
  assert.equal(BigInt(panned.end) - BigInt(panned.start), BigInt(ranges[0].end) - BigInt(ranges[0].start));
  assert.equal((await requestsOf(page, 'plot')).length, asked);
  await page.mouse.up();
  await page.keyboard.up('Shift');
  await settled(page);
  assert.equal((await requestsOf(page, 'plot')).length, asked + 1);
});

test('W18 Alt-click isolates a pen and restores the others, without a request', async (t) => {
  const page = await openPage(t, trend(UNIT_TAGS, { ...VIEW, hide: 'unit/mode' }));
  await settled(page, ({ statistics }) => Object.keys(statistics).length > 0);
  // But for the annotations, which are asked for every few seconds.
  const asked = async () => (await stateOf(page)).requests.filter(({ path }) => path !== 'annotations').length;
  const before = await asked();
  const swatch = page.getByRole('button', { name: 'Show unit/pressure' });
  await swatch.click({ modifiers: ['Alt'] });
  await page.waitForFunction(() => globalThis.historian.state().trend.pens.filter((pen) => !pen.hidden).length === 1);
  await swatch.click({ modifiers: ['Alt'] });
  await page.waitForFunction(() => globalThis.historian.state().trend.pens.filter((pen) => pen.hidden).map((pen) => pen.name).join() === 'unit/mode');
  assert.equal(await asked(), before);
});

test('the findings are the engine’s, are marked on the line, and open in the Trend', async (t) => {
  const [start, end] = [rfc(SPIKE - 600n * MINUTE), rfc(SPIKE + 600n * MINUTE)];
  const answer = await ask('anomalies', { tags: ['year/temperature'], start, end, detector: 'spike' });
  assert.equal(answer.rows, 1);
  const page = await openPage(t, `/findings?${new URLSearchParams({ detector: 'spike', tags: 'year/temperature', start, end })}`);
  await page.getByRole('button', { name: 'Find' }).click();
  const row = page.getByTestId('findings').locator('tbody tr');
  await row.waitFor();
  assert.ok((await row.innerText()).includes(answer.data.explanation[0]));
  await row.getByRole('link', { name: 'Trend' }).click();
  const view = await settled(page);
  assert.deepEqual(view.view.tags, ['year/temperature']);
  assert.equal(BigInt(view.view.a), SPIKE);
  await page.goto(HTTP + trend(['year/temperature'], { start, end, find: 'spike' }));
  const marked = await settled(page, ({ findings }) => findings.length > 0);
  assert.deepEqual(marked.findings.map((finding) => BigInt(finding.start)), [SPIKE]);
});

test('the screens of the service show what the API answers', async (t) => {
  const page = await openPage(t, '/system');
  await page.waitForFunction(() => {
    const { system } = globalThis.historian.state();
    return system?.status && system.disk && system.audit !== null && system.rate !== null;
  });
  const { system } = await stateOf(page);
  assert.equal(system.status.tags, String((await (await fetch(`${HTTP}/api/v1/status`)).json()).tags));
  assert.ok(system.disk.size > 0);
  await page.getByRole('link', { name: 'Collectors', exact: true }).click();
  await page.getByText('No device is configured').waitFor();
  await page.goto(`${HTTP}/tags/unit/mode`);
  await page.getByText('9007199254741016').waitFor();
});

test('W19 a scale is kept where it is asked for, and is never finer than a hundredth of the range of its tag', async (t) => {
  const page = await openPage(t, trend(['unit/temperature', 'unit/pressure'], { start: AT('08:00:00'), end: AT('08:00:02') }));
  const of = ({ lanes }, unit) => lanes.find((lane) => lane.unit === unit).scale;
  const narrow = of(await settled(page), '°C');
  assert.ok(narrow[1] - narrow[0] >= 2, 'the range of the tag is 200');
  await page.getByRole('button', { name: 'auto scale' }).first().click();
  await page.waitForFunction(() => globalThis.historian.state().trend.view.scales.Cel !== undefined);
  await page.getByRole('button', { name: '8 h', exact: true }).click();
  await page.goto(HTTP + (await stateOf(page)).search.replace(/start=[^&]*&end=[^&]*/, `start=${VIEW.start}&end=${VIEW.end}`).replace(/^/, '/'));
  assert.deepEqual(of(await settled(page), '°C'), narrow);
  await page.getByRole('button', { name: /kept/ }).click();
  const wide = of(await settled(page, ({ view }) => view.scales.Cel === undefined), '°C');
  assert.ok(wide[1] - wide[0] > 20);
});

test('W21 the zone is named on the axis and in the table, and switched in one place', async (t) => {
  const page = await openPage(t, trend(['unit/temperature'], { ...VIEW, a: AT('09:30:00') }));
  await settled(page);
  assert.equal(await page.getByTestId('axis-zone').innerText(), 'UTC');
  assert.match(await page.getByTestId('cursor-summary').innerText(), /2026-02-03 09:30:00\s+UTC/);
  await page.getByLabel('Zone').selectOption('local');
  await page.waitForFunction(() => document.querySelector('[data-testid=axis-zone]').textContent.includes('Europe/Berlin (UTC+01:00)'));
  assert.match(await page.getByTestId('cursor-summary').innerText(), /2026-02-03 10:30:00\s+Europe\/Berlin/);
});
