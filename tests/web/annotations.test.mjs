// Annotations in the page: written on the trend, seen by others and in the audit log, as text and nothing else, and only by whoever may.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterEach, before, test } from 'node:test';
import { ask, createToken, directory, HTTP, importSamples, importTags, ns, openPage, requestsOf, rfc, settled, signIn, startHistorian, stateOf, tell, trend, untilClosed } from './support.mjs';

const SECOND = 1_000_000_000n;
const AT = (clock) => `2026-04-07T${clock}Z`;
const VIEW = { start: AT('08:00:00'), end: AT('12:00:00') };
const TAGS = ['kiln/temperature', 'kiln/pressure', 'kiln/fan'];
const HOSTILE = '<img onerror=globalThis.stolen=1 src=x> & "so"\nsecond line';

before(() => {
  importTags([
    'name,type,unit,description,stepped',
    'kiln/temperature,f64,Cel,Temperature of the kiln,false',
    'kiln/pressure,f64,mbar,Pressure of the kiln,false',
    'kiln/fan,bool,,Fan,true',
    'kiln/other,f64,Cel,Nobody writes about it,false',
  ]);
  const times = Array.from({ length: 1_440 }, (_, at) => ns(AT('08:00:00')) + BigInt(at) * 10n * SECOND);
  importSamples(['tag,timestamp,value', ...times.flatMap((time, at) => [
    `kiln/temperature,${time},${(900 + 40 * Math.sin(at / 90)).toFixed(4)}`, `kiln/pressure,${time},${(3 + Math.cos(at / 70)).toFixed(4)}`, `kiln/other,${time},${at}`,
  ])]);
  importSamples(['tag,timestamp,value', ...times.filter((_, at) => at % 360 === 0).map((time, at) => `kiln/fan,${time},${at % 2 === 0}`)]);
});

afterEach(async () => {
  for (const { id } of await listed()) await ask('annotations/delete', { id });
});

/** Annotations of tags, as the API answers them. */
const listed = async (...tags) => (await ask('annotations', { tags })).annotations ?? [];
const annotationsOf = async (page) => (await stateOf(page)).trend.annotations;
const rowOf = (page, text) => page.getByTestId('annotations').locator('tbody tr', { hasText: text });

async function write(page, text, how = () => {}) {
  await page.getByRole('button', { name: 'Annotate', exact: true }).click();
  const form = page.getByTestId('annotation-form');
  await how(form);
  await form.getByLabel('Text').fill(text);
  await form.getByRole('button', { name: 'Save' }).click();
  await form.waitFor({ state: 'detached' });
}

const create = (tags, start, end, text) => ask('annotations/create', { tags, start, ...(end ? { end } : {}), text });

test('W12 what is written over a range in one browser reaches another without a reload, every trend of the tag, and the audit log', async (t) => {
  const [a, b] = [AT('09:00:00.000000001'), AT('09:30:00')];
  const other = await openPage(t, trend(['kiln/temperature', 'kiln/other'], VIEW));
  await settled(other);
  await other.evaluate(() => (globalThis.sameDocument = true));
  const asked = (await requestsOf(other, 'annotations')).length;
  const began = Date.now();

  const page = await openPage(t, trend(TAGS, { ...VIEW, a, b, hide: 'kiln/fan' }));
  await settled(page, ({ pins }) => pins.b);
  await write(page, 'Burner 2 was changed', async (form) => {
    assert.equal(await form.getByLabel('From').inputValue(), '2026-04-07 09:00:00.000000001');
    assert.equal(await form.getByLabel('To,').inputValue(), '2026-04-07 09:30:00');
    const checked = await form.getByRole('checkbox').evaluateAll((boxes) => boxes.map((box) => [box.closest('label').textContent, box.checked]));
    assert.deepEqual(checked, [['kiln/temperature', true], ['kiln/pressure', true], ['kiln/fan', false]], 'the pens that are drawn are chosen');
  });
  const view = await settled(page, ({ annotations }) => annotations.length === 1);
  const [kept] = await listed('kiln/temperature');
  assert.deepEqual([kept.start_time, kept.end_time, kept.text, [...kept.tags].sort()], [String(ns(AT('09:00:00')) + 1n), String(ns(b)), 'Burner 2 was changed', ['kiln/pressure', 'kiln/temperature']]);
  assert.deepEqual([view.annotations[0].id, view.annotations[0].start, view.annotations[0].version], [kept.id, kept.start_time, 1]);
  const marks = Object.fromEntries(view.pens.map(({ name, annotations }) => [name, annotations]));
  const mark = { id: kept.id, kind: 'range', start: kept.start_time, end: kept.end_time, value: null };
  assert.deepEqual(marks, { 'kiln/temperature': [mark], 'kiln/pressure': [mark], 'kiln/fan': [] });

  await other.waitForFunction(() => globalThis.historian.state().trend.annotations.length === 1);
  assert.equal(await other.evaluate(() => globalThis.sameDocument), true);
  await rowOf(other, 'Burner 2 was changed').waitFor();
  assert.deepEqual((await stateOf(other)).trend.pens.map((pen) => pen.annotations.length), [1, 0]);
  const polled = (await requestsOf(other, 'annotations')).length - asked;
  assert.ok(polled >= 1 && polled <= 1 + Math.ceil((Date.now() - began) / 5_000), `${polled} requests in ${Date.now() - began} ms`);

  await other.goto(`${HTTP}/tags/kiln/pressure`);
  await rowOf(other, 'Burner 2 was changed').waitFor();
  await other.goto(`${HTTP}/system`);
  const entry = other.getByRole('region', { name: 'Audit log' }).locator('tr', { hasText: 'create annotation' }).first();
  assert.match(await entry.innerText(), /kiln\/pressure/);
});

test('W12 a moment stands on the line, is told under the cursor, by a pointer and by the keyboard', async (t) => {
  const time = ns(AT('10:00:05'));
  const page = await openPage(t, trend(['kiln/temperature'], { ...VIEW, a: rfc(time) }));
  await settled(page, ({ pins }) => pins.a);
  await write(page, 'Sample taken', async (form) => assert.equal(await form.getByLabel('To,').inputValue(), ''));
  const { pens: [pen] } = await settled(page, ({ annotations }) => annotations.length === 1);
  assert.deepEqual([pen.annotations[0].kind, pen.annotations[0].start, pen.annotations[0].end], ['moment', String(time), String(time)]);
  const { data } = await ask('range', { tags: ['kiln/temperature'], start: rfc(time), end: rfc(time + 1n), layout: 'WIDE', fill: 'LINEAR', step: '1s' });
  assert.ok(Math.abs(pen.annotations[0].value - data['kiln/temperature'][0]) < 1e-6, 'it is where the line is');

  const flag = page.getByRole('group', { name: 'Annotations' }).getByRole('button');
  assert.equal(await flag.getAttribute('aria-label'), '2026-04-07 10:00:05: Sample taken');
  await flag.hover();
  await page.getByRole('tooltip').getByText('Sample taken').waitFor();
  const box = await page.getByTestId('surface').boundingBox();
  const x = box.x + (box.width * (2 * 3600 + 5)) / (4 * 3600);
  await page.mouse.move(x, box.y + box.height * 0.8);
  await page.getByRole('tooltip').waitFor({ state: 'detached' });
  await page.getByTestId('under-cursor').getByText('Sample taken').waitFor();
  await page.mouse.move(x + 100, box.y + box.height * 0.8);
  await page.getByTestId('under-cursor').waitFor({ state: 'detached' });

  await create(['kiln/temperature'], AT('11:00:00'), AT('11:10:00'), 'Further along');
  await settled(page, ({ annotations }) => annotations.length === 2);
  for (let presses = 0; presses < 60 && !(await page.evaluate(() => document.activeElement?.classList.contains('flag'))); presses++) await page.keyboard.press('Tab');
  await page.getByRole('tooltip').getByText('Sample taken').waitFor();
  await page.keyboard.press('ArrowRight');
  await page.getByRole('tooltip').getByText('Further along').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('tooltip').waitFor({ state: 'detached' });
  await page.keyboard.press('Enter');
  await page.locator('tr.chosen', { hasText: 'Further along' }).waitFor();
});

test('W12 a touch on a flag shows its text; flags close beside each other are one', async (t) => {
  for (const [start, text] of [['09:00:00', 'first of two'], ['09:00:30', 'second of two']]) await create(['kiln/fan'], AT(start), null, text);
  const page = await openPage(t, trend(['kiln/fan'], VIEW), { viewport: { width: 390, height: 844 }, hasTouch: true });
  await settled(page, ({ annotations }) => annotations.length === 2);
  const flag = page.getByRole('group', { name: 'Annotations' }).getByRole('button');
  assert.equal(await flag.innerText(), '2');
  await flag.tap();
  for (const text of ['first of two', 'second of two']) await page.getByRole('tooltip').getByText(text).waitFor();
  const { scroll, inner } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, inner: innerWidth }));
  assert.ok(scroll <= inner, `${scroll} wide on ${inner}`);
});

test('W12 it is changed and removed, with its versions kept; what somebody else did meanwhile is told', async (t) => {
  const { annotation } = await create(['kiln/pressure'], AT('09:00:00'), AT('09:10:00'), 'first words');
  const page = await openPage(t, trend(['kiln/pressure', 'kiln/temperature'], VIEW));
  await rowOf(page, 'first words').getByRole('button', { name: 'Edit' }).click();
  const form = page.getByTestId('annotation-form');
  await form.getByLabel('Text').fill('second words');
  await form.getByLabel('To,').fill('2026-04-07 09:20');
  await form.getByRole('checkbox', { name: 'kiln/temperature' }).check();
  await form.getByRole('button', { name: 'Save' }).click();
  await rowOf(page, 'second words').waitFor();
  const [changed] = await listed('kiln/temperature');
  assert.deepEqual([changed.id, changed.version, changed.end_time, [...changed.tags].sort()], [annotation.id, 2, String(ns(AT('09:20:00'))), ['kiln/pressure', 'kiln/temperature']]);

  await rowOf(page, 'second words').getByRole('button', { name: 'Edit' }).click();
  await ask('annotations/update', { id: annotation.id, version: 2, tags: ['kiln/pressure'], start: AT('09:00:00'), end: AT('09:10:00'), text: 'words of somebody else' });
  await form.getByLabel('Text').fill('third words');
  await form.getByRole('button', { name: 'Save' }).click();
  await form.getByText('Somebody has changed this annotation meanwhile').waitFor();
  await form.getByText('words of somebody else').waitFor();
  assert.equal((await listed('kiln/pressure'))[0].text, 'words of somebody else', 'nothing is replaced unseen');
  await form.getByRole('button', { name: 'Save' }).click();
  await rowOf(page, 'third words').waitFor();

  await rowOf(page, 'third words').getByRole('button', { name: 'Version' }).click();
  const versions = page.getByTestId('annotation-versions');
  await versions.getByText('first words').waitFor();
  assert.deepEqual(await versions.locator('li .remark').allInnerTexts(), ['third words', 'words of somebody else', 'second words', 'first words']);
  await page.keyboard.press('Escape');
  await versions.waitFor({ state: 'detached' });

  await rowOf(page, 'third words').getByRole('button', { name: 'Remove' }).click();
  const question = page.getByTestId('annotation-remove');
  await question.getByRole('button', { name: 'Keep' }).click();
  await question.waitFor({ state: 'detached' });
  assert.equal((await listed('kiln/pressure')).length, 1);
  await rowOf(page, 'third words').getByRole('button', { name: 'Remove' }).click();
  await question.getByRole('button', { name: 'Remove' }).click();
  await settled(page, ({ annotations }) => annotations.length === 0);
  assert.deepEqual(await listed('kiln/pressure'), []);
  const all = (await ask('annotations', { id: annotation.id, versions: true })).annotations;
  assert.deepEqual(all.map(({ version, removed = false }) => [version, removed]), [[1, false], [2, false], [3, false], [4, false], [5, true]]);
  const { entries } = await (await fetch(`${HTTP}/api/v1/audit?last=5`)).json();
  for (const action of ['create_annotation', 'update_annotation', 'delete_annotation']) assert.ok(entries.some((entry) => entry.action === action), action);
});

test('W12 the form says what is wrong in words, and keeps what was typed', async (t) => {
  const page = await openPage(t, trend(['kiln/temperature'], VIEW));
  await settled(page);
  await page.locator('.chart').focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('n');
  const form = page.getByTestId('annotation-form');
  assert.equal(await form.getByLabel('To,').inputValue(), '', 'the moment under the cursor');
  await form.getByRole('button', { name: 'View', exact: true }).click();
  assert.equal(await form.getByLabel('From').inputValue(), '2026-04-07 08:00:00');
  const refused = async (words) => {
    await form.getByRole('button', { name: 'Save' }).click();
    await form.getByRole('alert').getByText(words).waitFor();
  };
  await refused('Write what there is to say.');
  await form.getByLabel('Text').fill('kept in the form');
  await form.getByLabel('To,').fill('yesterday');
  await refused('“yesterday” is no time');
  await form.getByLabel('To,').fill('2026-04-07 07:00');
  await refused('The end must be after the start.');
  await form.getByRole('checkbox').uncheck();
  await form.getByLabel('To,').fill('2026-04-07 09:00');
  await refused('Choose a tag');
  await form.getByRole('checkbox').check();
  await form.getByLabel('Text').fill('x'.repeat(5_000));
  await form.getByRole('button', { name: 'Save' }).click();
  await form.getByRole('alert').getByText(/4,?096/).waitFor();
  await page.keyboard.press('Escape');
  await form.waitFor({ state: 'detached' });
  assert.deepEqual(await listed('kiln/temperature'), []);
});

test('W12 a finding and an annotation that are clicked in their lists open their frames', async (t) => {
  importSamples(['tag,timestamp,value', ...Array.from({ length: 600 }, (_, at) => `frame/level,${ns(AT('08:00:00')) + BigInt(at) * 10n * SECOND},${at === 400 ? 5_000 : (10 + Math.sin(at / 9)).toFixed(3)}`)]);
  await create(['frame/level'], AT('08:20:00'), AT('08:30:00'), 'open my frame');
  const page = await openPage(t, trend(['frame/level'], { start: AT('08:00:00'), end: AT('09:40:00'), find: 'spike' }));
  const before = await settled(page, ({ findings, annotations }) => findings.length > 0 && annotations.length === 1);
  await rowOf(page, 'open my frame').getByRole('button').first().click();
  const framed = await settled(page, ({ range }) => range.start !== before.range.start);
  assert.deepEqual(framed.range, { start: String(ns(AT('08:10:00'))), end: String(ns(AT('08:40:00'))) });
  await page.goBack();
  await settled(page, ({ range, findings }) => range.start === before.range.start && findings.length > 0);
  await page.locator('summary', { hasText: 'findings of spike' }).click();
  await page.locator('.marked li button').first().click();
  const { range } = await settled(page, (now) => now.range.start !== before.range.start);
  const spike = ns(AT('08:00:00')) + 4_000n * SECOND;
  assert.ok(BigInt(range.start) < spike && spike < BigInt(range.end) && BigInt(range.end) - BigInt(range.start) < 600n * SECOND);
  await page.goto(`${HTTP}/tags/frame/level`);
  await rowOf(page, 'open my frame').getByRole('link').click();
  assert.deepEqual((await settled(page)).range, framed.range);
});

test('W15 a text that looks like HTML stays text wherever it is shown', async (t) => {
  await create(['kiln/other'], AT('09:00:00'), AT('10:00:00'), HOSTILE);
  const page = await openPage(t, trend(['kiln/other'], VIEW));
  await settled(page, ({ annotations }) => annotations.length === 1);
  assert.equal(await page.getByTestId('annotations').locator('td.remark').textContent(), HOSTILE);
  await page.getByRole('group', { name: 'Annotations' }).getByRole('button').hover();
  assert.equal(await page.getByRole('tooltip').locator('.remark').textContent(), HOSTILE);
  await page.getByRole('button', { name: 'Edit' }).click();
  assert.equal(await page.getByTestId('annotation-form').getByLabel('Text').inputValue(), HOSTILE);
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Version' }).click();
  await page.getByTestId('annotation-versions').getByText('<img onerror').waitFor();
  await page.keyboard.press('Escape');
  await page.goto(`${HTTP}/tags/kiln/other`);
  await page.getByTestId('annotations').getByText('<img onerror').waitFor();
  await page.goto(`${HTTP}/system`);
  await page.getByText('create annotation').first().waitFor();
  assert.equal(await page.locator('img[onerror]').count(), 0);
  assert.equal(await page.evaluate(() => globalThis.stolen), undefined);
});

test('W15 without the right to write there are no controls, and texts on tags that one may not read are not seen', async (t) => {
  const data = join(directory, 'annotations');
  const server = await startHistorian(t, data);
  importSamples(['tag,timestamp,value', ...['open/level', 'open/flow', 'secret/level'].map((tag) => `${tag},${ns(AT('08:00:00'))},1`)], server);
  const boss = createToken(data, 'boss', '--role', 'admin');
  const reader = createToken(data, 'ana', '--role', 'reader', '--tags', 'open/**');
  const writer = createToken(data, 'ben', '--grant', 'reader=open/**', '--grant', 'writer=open/level');
  await untilClosed(server);
  const say = (body) => tell(server, boss, 'annotations/create', { start: AT('09:00:00'), ...body });
  await say({ tags: ['open/level'], text: 'for everybody' });
  await say({ tags: ['secret/level'], text: 'a secret' });
  await say({ tags: ['open/level', 'open/flow'], text: 'on two tags' });

  const view = trend(['open/level', 'open/flow', 'secret/level'], VIEW);
  const page = await openPage(t, view, { base: server.base });
  await signIn(page, reader);
  await settled(page, ({ annotations }) => annotations.length === 2);
  await page.waitForFunction(() => globalThis.historian.state().who?.name === 'token:ana');
  assert.deepEqual((await annotationsOf(page)).map(({ text }) => text).sort(), ['for everybody', 'on two tags']);
  assert.equal(await page.getByText('a secret').count(), 0);
  for (const name of ['Annotate', 'Edit', 'Remove annotation']) assert.equal(await page.getByRole('button', { name }).count(), 0, name);
  await page.locator('.chart').focus();
  await page.keyboard.press('n');
  assert.equal(await page.getByTestId('annotation-form').count(), 0);

  const other = await openPage(t, view, { base: server.base });
  await signIn(other, writer);
  await settled(other, ({ annotations }) => annotations.length === 2);
  await rowOf(other, 'for everybody').getByRole('button', { name: 'Edit' }).waitFor();
  assert.equal(await rowOf(other, 'on two tags').getByRole('button', { name: 'Edit' }).count(), 0);
  await other.getByRole('button', { name: 'Annotate', exact: true }).click();
  const form = other.getByTestId('annotation-form');
  assert.deepEqual(await form.getByRole('checkbox').evaluateAll((boxes) => boxes.map((box) => box.checked)), [true, false, false]);
  await form.getByRole('checkbox', { name: 'open/flow' }).check();
  await form.getByLabel('Text').fill('more than I may');
  await form.getByRole('button', { name: 'Save' }).click();
  await form.getByRole('alert').getByText('This needs a right that you do not have').waitFor();
  await form.getByRole('checkbox', { name: 'open/flow' }).uncheck();
  await form.getByRole('button', { name: 'Save' }).click();
  await rowOf(other, 'more than I may').getByText('token:ben').waitFor();
});

test('W13 no serious finding of axe with annotations, their dialogs and flags, in both themes', async (t) => {
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  await create(['kiln/pressure', 'kiln/fan'], AT('08:30:00'), AT('09:00:00'), 'to be looked at');
  await create(['kiln/pressure'], AT('10:30:00'), null, 'and this');
  for (const colorScheme of ['light', 'dark']) {
    const page = await openPage(t, trend(['kiln/pressure', 'kiln/fan'], VIEW), { colorScheme });
    await settled(page, ({ annotations }) => annotations.length === 2);
    await page.evaluate(axe);
    const check = async (what) => {
      const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
      const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
      assert.deepEqual(serious.map(({ id, nodes }) => [what, id, nodes.map((node) => node.html)]), []);
    };
    await page.getByRole('group', { name: 'Annotations' }).getByRole('button').first().focus();
    await page.getByRole('tooltip').waitFor();
    await check('trend');
    for (const [name, dialog] of [['Annotate', 'annotation-form'], ['Version', 'annotation-versions'], ['Remove annotation', 'annotation-remove'], ['Views', null]]) {
      await page.getByRole('button', { name }).first().click();
      if (dialog) await page.getByTestId(dialog).waitFor();
      else {
        await page.getByRole('menuitem', { name: 'Save or manage…' }).click();
        await page.getByTestId('views').waitFor();
      }
      await check(name);
      await page.keyboard.press('Escape');
    }
  }
});
