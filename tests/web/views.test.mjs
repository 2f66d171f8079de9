// Views that the historian keeps by a name: for oneself or for everybody, in the audit log, and as text and nothing else.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, before, test } from 'node:test';
import { ask, createToken, directory, HTTP, importSamples, importTags, ns, openPage, settled, signIn, startHistorian, stateOf, tell, trend, untilClosed } from './support.mjs';

const AT = (clock) => `2026-05-12T${clock}Z`;
const VIEW = { start: AT('08:00:00'), end: AT('12:00:00') };
const HOSTILE = '<img onerror=globalThis.stolen=1 src=x>';

before(() => {
  importTags(['name,type,unit', 'mill/power,f64,kW', 'mill/speed,f64,r/min']);
  importSamples(['tag,timestamp,value', ...['mill/power', 'mill/speed'].flatMap((tag) => Array.from({ length: 240 }, (_, at) => `${tag},${ns(AT('08:00:00')) + BigInt(at) * 60_000_000_000n},${at % 17}`))]);
});

const kept = async () => (await ask('views', {})).views ?? [];

afterEach(async () => {
  for (const { id } of await kept()) await ask('views/delete', { id });
});

async function manage(page) {
  await page.getByRole('button', { name: 'Views' }).click();
  await page.getByRole('menuitem', { name: 'anage…' }).click();
  const dialog = page.getByTestId('views');
  await dialog.waitFor();
  return dialog;
}

async function keep(dialog, name, shared = false) {
  await dialog.getByLabel('Name of this view').fill(name);
  await dialog.getByRole('checkbox', { name: 'Everybody sees it' }).setChecked(shared);
  await dialog.getByRole('button', { name: 'Save' }).click();
}

const rowOf = (dialog, name) => dialog.locator(`tr[data-view=${JSON.stringify(name)}]`);

test('W20 a view is kept by its name, opens in another browser as it was, and is in the audit log', async (t) => {
  const page = await openPage(t, trend(['mill/power', 'mill/speed'], { ...VIEW, zone: 'Europe/Berlin', hide: 'mill/speed', a: AT('09:00:00'), compare: '7', scale: '0:50:kW' }));
  const before = await settled(page);
  const dialog = await manage(page);
  await dialog.getByText('No view is kept yet.').waitFor();
  await keep(dialog, 'Mill, mornings', true);
  await dialog.getByText('“Mill, mornings” is kept.').waitFor();
  const [view] = await kept();
  assert.deepEqual([view.name, view.shared, view.version], ['Mill, mornings', true, 1]);

  const other = await openPage(t, '/');
  await other.getByRole('button', { name: 'Views' }).click();
  await other.getByRole('menuitem', { name: 'Mill, mornings' }).click();
  assert.deepEqual((await settled(other)).view, before.view);
  assert.equal((await stateOf(other)).search, `?${view.content}`);
  await other.goBack();
  await other.waitForFunction(() => globalThis.historian.state().trend.view.tags.length === 0);

  const deletion = await manage(other);
  await rowOf(deletion, 'Mill, mornings').getByRole('button', { name: 'Delete' }).click();
  await rowOf(deletion, 'Mill, mornings').getByRole('button', { name: 'Keep it' }).click();
  assert.equal((await kept()).length, 1);
  await rowOf(deletion, 'Mill, mornings').getByRole('button', { name: 'Delete' }).click();
  await rowOf(deletion, 'Mill, mornings').getByRole('button', { name: 'Delete it' }).click();
  await deletion.getByText('“Mill, mornings” is deleted.').waitFor();
  assert.deepEqual(await kept(), []);
  await other.goto(`${HTTP}/system`);
  for (const action of ['save view', 'delete view']) await other.getByRole('region', { name: 'Audit log' }).getByRole('cell', { name: action, exact: true }).first().waitFor();
});

test('W20 a view is renamed, shared and overwritten; a name that is taken and a change meanwhile are told', async (t) => {
  const page = await openPage(t, trend(['mill/power'], VIEW));
  await settled(page);
  const dialog = await manage(page);
  await keep(dialog, 'one');
  await rowOf(dialog, 'one').getByText('private').waitFor();
  await keep(dialog, 'two');
  await rowOf(dialog, 'two').waitFor();
  await rowOf(dialog, 'one').getByRole('button', { name: 'Rename' }).click();
  await dialog.getByLabel('New name').fill('two');
  await page.keyboard.press('Enter');
  await dialog.getByRole('alert').getByText('“two” is the name of another view of yours.').waitFor();
  await dialog.getByLabel('New name').fill('first');
  await page.keyboard.press('Enter');
  await rowOf(dialog, 'first').getByRole('button', { name: 'Share' }).click();
  await rowOf(dialog, 'first').getByText('shared', { exact: true }).waitFor();
  await page.keyboard.press('Escape');

  await page.getByRole('combobox', { name: 'Add a tag' }).fill('mill/speed');
  await page.getByRole('option', { name: 'mill/speed' }).click();
  await settled(page, ({ pens }) => pens.length === 2);
  const again = await manage(page);
  await keep(again, 'first', true);
  await again.getByRole('alert').getByText('“first” is the name of another view of yours.').waitFor();
  const before = (await kept()).find(({ name }) => name === 'first');
  await again.getByRole('button', { name: 'Overwrite “first”' }).click();
  await again.getByText('“first” is overwritten.').waitFor();
  const after = (await kept()).find(({ name }) => name === 'first');
  assert.deepEqual([after.id, after.version, after.content], [before.id, before.version + 1, (await stateOf(page)).search.slice(1)]);

  await ask('views/save', { id: after.id, version: after.version, name: 'first', content: 'tag=mill/power' });
  await rowOf(again, 'first').getByRole('button', { name: 'Overwrite' }).click();
  await again.getByRole('alert').getByText('“first” was changed meanwhile').waitFor();
  assert.equal((await kept()).find(({ name }) => name === 'first').content, 'tag=mill/power', 'nothing is replaced unseen');
  await rowOf(again, 'first').getByRole('button', { name: 'Overwrite' }).click();
  await again.getByText('“first” is overwritten.').waitFor();
  await ask('views/delete', { id: after.id });
  await rowOf(again, 'first').getByRole('button', { name: 'Overwrite' }).click();
  await again.getByRole('alert').getByText('“first” is not there any more').waitFor();
  await rowOf(again, 'first').waitFor({ state: 'detached' });
});

test('W20 a private view is seen by whoever keeps it and nobody else, a shared one by all', async (t) => {
  const data = join(directory, 'views');
  const server = await startHistorian(t, data);
  importSamples(['tag,timestamp,value', `open/level,${ns(AT('08:00:00'))},1`, `open/level,${ns(AT('09:00:00'))},1`], server);
  const boss = createToken(data, 'boss', '--role', 'admin');
  const ana = createToken(data, 'ana', '--role', 'reader');
  const ben = createToken(data, 'ben', '--role', 'reader');
  await untilClosed(server);
  const page = await openPage(t, trend(['open/level'], VIEW), { base: server.base });
  await signIn(page, ana);
  await settled(page);
  const dialog = await manage(page);
  await keep(dialog, 'only mine');
  await rowOf(dialog, 'only mine').getByText('private').waitFor();
  await keep(dialog, 'for all', true);
  await rowOf(dialog, 'for all').getByRole('button', { name: 'Rename' }).waitFor();

  const other = await openPage(t, '/', { base: server.base });
  await signIn(other, ben);
  await other.waitForFunction(() => globalThis.historian.state().who?.name === 'token:ben');
  await other.getByRole('button', { name: 'Views' }).click();
  await other.getByRole('menuitem', { name: 'for all' }).waitFor();
  assert.deepEqual(await other.getByRole('menuitem').allInnerTexts(), ['Manage…', 'for all shared by token:ana']);
  await other.keyboard.press('Escape');
  const seen = await manage(other);
  await rowOf(seen, 'for all').waitFor();
  assert.equal(await seen.getByText('only mine').count(), 0);
  assert.equal(await rowOf(seen, 'for all').getByRole('button').count(), 1, 'only its name, which opens it');
  await rowOf(seen, 'for all').getByRole('button').click();
  assert.deepEqual((await settled(other)).view.tags, ['open/level']);
  // His own may have the name of one of somebody else.
  const own = await manage(other);
  await keep(own, 'for all');
  await own.getByText('“for all” is kept.').waitFor();

  const { entries } = await tell(server, boss, 'audit', { last: 10 });
  assert.deepEqual(entries.filter(({ action }) => action === 'save_view').map(({ principal }) => principal), ['token:ana', 'token:ana', 'token:ben']);
});

test('W20 the keyboard alone keeps a view and opens it', async (t) => {
  const page = await openPage(t, trend(['mill/power'], VIEW));
  await settled(page);
  await page.getByRole('button', { name: 'Views' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('menuitem').first().waitFor();
  await page.keyboard.press('Enter');
  await page.getByTestId('views').waitFor();
  await page.keyboard.type('by keys');
  await page.keyboard.press('Enter');
  await page.getByText('“by keys” is kept.').waitFor();
  await page.keyboard.press('Escape');
  await page.getByTestId('views').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: '1 h', exact: true }).click();
  await page.waitForFunction(() => globalThis.historian.state().trend.view.start === '*-1h');
  await page.getByRole('button', { name: 'Views' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('menuitem', { name: 'by keys' }).waitFor();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.waitForFunction((start) => globalThis.historian.state().trend.view.start === start, VIEW.start);
});

test('W15 the name and the content of a view are never more than text and an address of the Trend', async (t) => {
  await ask('views/save', { name: HOSTILE, content: `tag=mill/power&start=${HOSTILE}&live=javascript:alert(1)#//elsewhere.example` });
  const page = await openPage(t, '/');
  await page.getByRole('button', { name: 'Views' }).click();
  const item = page.getByRole('menuitem').nth(1);
  await item.waitFor();
  assert.ok((await item.innerText()).startsWith(HOSTILE));
  await page.keyboard.press('Escape');
  const dialog = await manage(page);
  await dialog.getByRole('button', { name: HOSTILE }).click();
  await page.waitForFunction(() => globalThis.historian.state().trend.view.tags.join() === 'mill/power');
  assert.equal(new URL(page.url()).origin, HTTP);
  assert.equal(new URL(page.url()).hash, '');
  await page.getByText('is no time').waitFor();
  assert.equal(await page.locator('img[onerror]').count(), 0);
  assert.equal(await page.evaluate(() => globalThis.stolen), undefined);
});

test('W14 the dialog of the views fits a phone', async (t) => {
  await ask('views/save', { name: 'a name that goes on for longer than a phone is wide, and then some', content: 'tag=mill/power' });
  const page = await openPage(t, trend(['mill/power'], VIEW), { viewport: { width: 390, height: 844 }, hasTouch: true });
  await settled(page);
  const dialog = await manage(page);
  await dialog.getByRole('button', { name: 'a name that goes on' }).waitFor();
  const { scroll, inner } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, inner: innerWidth }));
  assert.ok(scroll <= inner, `${scroll} wide on ${inner}`);
  const box = await dialog.boundingBox();
  assert.ok(box.x >= 0 && box.x + box.width <= inner);
});
