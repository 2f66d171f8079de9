// Screenshots of every screen, in both themes and three widths, of a running historian that has data (the demo, best):
//
//     HISTORIAN_HTTP=http://127.0.0.1:8080 node screenshots.mjs FOLDER
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [folder] = process.argv.slice(2);
const http = process.env.HISTORIAN_HTTP;
if (!folder || !http) {
  console.error('usage: HISTORIAN_HTTP=http://127.0.0.1:PORT node screenshots.mjs FOLDER');
  process.exit(2);
}
mkdirSync(folder, { recursive: true });

const WANTED = [
  'demo/heating/tank201/temperature', 'demo/heating/temperature_setpoint', 'demo/product/ph', 'demo/utility/boiler/oxygen', 'demo/plant/state', 'demo/utility/boiler/burner_on',
];
const { tags = [] } = await (await fetch(`${http}/api/v1/tags?page_size=10000`)).json();
const { devices = [] } = await (await fetch(`${http}/api/v1/collectors`)).json();
const names = tags.map(({ name }) => name);
const chosen = WANTED.filter((name) => names.includes(name));
const pens = chosen.length > 0 ? chosen : names.slice(0, 4);
const period = process.env.HISTORIAN_PERIOD ?? '*-1h';
const trend = (extra) => `/?${new URLSearchParams([...pens.map((name) => ['tag', name]), ['start', period], ['end', '*'], ...Object.entries(extra)])}`;
const SCREENS = {
  trend: trend({}),
  'trend-live': trend({ live: '1' }),
  tags: '/tags',
  tag: `/tags/${pens[0]}`,
  collectors: '/collectors',
  ...(devices.length > 0 ? { device: `/collectors/${encodeURIComponent(devices[0].device)}` } : {}),
  findings: `/findings?${new URLSearchParams({ detector: 'spike', tags: '**', start: '*-24h', end: '*', run: '1' })}`,
  system: '/system',
};

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
for (const colorScheme of ['light', 'dark']) {
  for (const [width, height] of [[1440, 900], [1024, 768], [390, 844]]) {
    const page = await browser.newPage({ viewport: { width, height }, colorScheme });
    for (const [screen, path] of Object.entries(SCREENS)) {
      await page.goto(http + path);
      await page.waitForFunction(() => globalThis.historian !== undefined);
      if (screen.startsWith('trend')) {
        await page.waitForFunction(() => globalThis.historian.state().trend.pens.every((pen) => pen.drawn) && !globalThis.historian.state().trend.loading);
        const box = await page.getByTestId('surface').boundingBox();
        if (screen === 'trend') {
          for (const share of [0.35, 0.7]) await page.mouse.click(box.x + box.width * share, box.y + 30);
          await page.mouse.move(box.x + box.width * 0.52, box.y + 30);
        }
      }
      // Values of the second round of polls: a rate needs two.
      await page.waitForTimeout(2_500);
      await page.screenshot({ path: join(folder, `${screen}-${colorScheme}-${width}.png`) });
    }
    await page.close();
  }
}
await browser.close();
