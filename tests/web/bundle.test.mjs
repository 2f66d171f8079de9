// The bundle that the binary embeds is what its sources give, byte for byte and in any folder, and it is small.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const WEB = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'web');
const FILES = ['app.css', 'app.js', 'icon.svg', 'index.html'];
const GZIP_BYTES_MAX = 90 * 1024;

test('web/dist is what its sources build', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'historian-bundle-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(WEB, folder, { recursive: true, filter: (path) => !/[/\\](node_modules|dist)$/.test(path) });
  const npm = (...command) => execFileSync('npm', command, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  npm('ci', '--no-audit', '--no-fund', '--prefer-offline');
  assert.ok(!existsSync(join(folder, 'dist')));
  npm('run', 'build');
  assert.deepEqual(readdirSync(join(folder, 'dist')).sort(), FILES);
  for (const file of FILES) {
    assert.ok(readFileSync(join(folder, 'dist', file)).equals(readFileSync(join(WEB, 'dist', file))), `web/dist/${file} is not what npm run build writes: build it and commit it`);
  }
});

test('the bundle is four files of at most 90 KB, compressed, and names no other place', () => {
  assert.deepEqual(readdirSync(join(WEB, 'dist')).sort(), FILES);
  const bytes = FILES.map((file) => gzipSync(readFileSync(join(WEB, 'dist', file)), { level: 9 }).length).reduce((sum, size) => sum + size, 0);
  assert.ok(bytes <= GZIP_BYTES_MAX, `${bytes} bytes`);
  for (const file of ['index.html', 'app.css', 'app.js']) {
    const text = readFileSync(join(WEB, 'dist', file), 'utf8');
    const places = [...text.matchAll(/https?:\/\/[\w.-]+/g)].map(([place]) => place).filter((place) => !/^https?:\/\/(www\.w3\.org|preactjs\.com)$/.test(place));
    assert.deepEqual(places, [], file);
    assert.ok(!/sourceMappingURL/.test(text));
  }
  const html = readFileSync(join(WEB, 'dist', 'index.html'), 'utf8');
  assert.ok(!/<script(?![^>]*src=)|style=|<style|\son\w+=/i.test(html), 'nothing inline, as the content security policy wants');
});
