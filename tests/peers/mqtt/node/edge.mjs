// A Sparkplug edge of npm sparkplug-client 3.2.4; commands and output as tests/peers/mqtt_edge.py says.
//
// How this make is: it encodes an alias beside the name or, as here, in its place: data have alias and type, no name. bdSeq is 0 in
// every birth, will and death, over all connections. UInt32 travels as long_value. A clean end publishes its death only when asked to
// (publishDeath), and the births are the program's to send whenever the library says so, after each connection.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

// Where the package is installed is no business of the checkout.
const require = createRequire(`${process.env.HISTORIAN_MQTT_MODULES}/`);
const { newClient } = require('sparkplug-client');

const REBIRTH = 'Node Control/Rebirth';
const [host, port, group, node, device, extra = '0'] = process.argv.slice(2);
const metrics = JSON.parse(readFileSync(new URL('../metrics.json', import.meta.url), 'utf8'));
for (let n = 0; n < Number(extra); n += 1) {
  metrics.push({ of: 'device', name: `Extra/${n}`, type: 'Double', value: n, alias: 1000 + n });
}
const byName = new Map(metrics.map((metric) => [metric.name, metric]));
const current = new Map();
let last = 0;
let client = null;
let deviceLives = true;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (line) => process.stdout.write(`${line}\n`);

function now() {
  last = Math.max(last + 1, Date.now());
  return last;
}

function tell(metric, value, time, birth, historical) {
  say(JSON.stringify({ device: metric.of === 'device', metric: metric.name, type: metric.type, value, time, birth, historical }));
}

function all(kind) {
  return metrics
    .filter((metric) => metric.of === kind)
    .map((metric) => {
      if (!current.has(metric.name)) current.set(metric.name, { value: metric.value, time: now() });
      const { value, time } = current.get(metric.name);
      tell(metric, value, time, true, false);
      return { name: metric.name, alias: metric.alias, type: metric.type, value, timestamp: time };
    });
}

function publishBirths() {
  const rebirth = { name: REBIRTH, type: 'Boolean', value: false, timestamp: now() };
  client.publishNodeBirth({ timestamp: now(), metrics: [...all('node'), rebirth] });
  if (deviceLives) client.publishDeviceBirth(device, { timestamp: now(), metrics: all('device') });
}

let sessions = 0;
async function birth() {
  if (client) {
    if (deviceLives) {
      publishBirths();
    } else {
      deviceLives = true;
      client.publishDeviceBirth(device, { timestamp: now(), metrics: all('device') });
    }
    return;
  }
  deviceLives = true;
  sessions += 1;
  client = newClient({
    serverUrl: `mqtt://${host}:${port}`,
    username: 'edge',
    password: 'edge',
    groupId: group,
    edgeNode: node,
    clientId: `${group}-${node}-${process.pid}-${sessions}`,
    publishDeath: true,
    mqttOptions: { reconnectPeriod: 200 },
  });
  client.on('error', (error) => {
    process.stderr.write(`${error}\n`);
    process.exit(1);
  });
  client.on('ncmd', (payload) => {
    if (payload.metrics.some((metric) => metric.name === REBIRTH && metric.value)) {
      say('rebirth');
      publishBirths();
    }
  });
  await new Promise((resolve) => {
    client.on('birth', () => {
      publishBirths();
      resolve();
    });
  });
}

function publish(name, value, time, historical) {
  const metric = byName.get(name);
  tell(metric, value, time, false, historical);
  const sent = { alias: metric.alias, type: metric.type, value, timestamp: time };
  if (historical) sent.isHistorical = true;
  else current.set(name, { value, time });
  const payload = { timestamp: now(), metrics: [sent] };
  if (metric.of === 'device') client.publishDeviceData(device, payload);
  else client.publishNodeData(payload);
}

async function command(line) {
  const [word] = line.split(' ', 1);
  if (word === 'birth') {
    await birth();
  } else if (word === 'data' || word === 'historical') {
    const [, name, value, time] = /^\S+ (\S+) (".*"|\S+)(?: (\d+))?$/.exec(line);
    publish(name, JSON.parse(value), time ? Number(time) : now(), word === 'historical');
  } else if (word === 'burst') {
    const count = Number(line.split(' ')[1]);
    for (let n = 0; n < count; n += 1) {
      publish('Temperature', n + 0.25, now(), false);
      await pause(1);
    }
  } else if (word === 'device-death') {
    deviceLives = false;
    client.publishDeviceDeath(device, { timestamp: now(), metrics: [] });
  } else if (word === 'death') {
    const ended = new Promise((resolve) => client.on('close', resolve));
    client.stop();
    await ended;
    client = null;
  } else if (word === 'die') {
    process.kill(process.pid, 'SIGKILL');
  } else {
    throw new Error(`no command ${line}`);
  }
}

say('ready');
for await (const line of createInterface({ input: process.stdin })) {
  await command(line.trim());
  // Times are all different, so that they run ahead of the clock: what is started next would have earlier ones.
  while (Date.now() < last) await pause(1);
  say('done');
}
process.exit(0);
