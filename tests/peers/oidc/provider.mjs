// An identity provider for the tests: oidc-provider, as it is, on loopback. It gives out access tokens (JWT) to clients by their credentials, and is told
// what to do line by line on its standard input:
//
//   token CLIENT [AUDIENCE [ISSUER]]  prints a token of the provider: of the client, for an audience, by this provider or the other one
//   forge KIND CLIENT                 prints a token that is none: `none`, `hs256-pem`, `hs256-jwk`, `tampered`, `embedded`, `crit`
//   rotate                            the provider signs with a new key, and has forgotten the old one
//   asked                             how often somebody asked for the keys
//   down, up                          the provider is away, and is back
//   keys                              prints its key set
//
// Each answer is one line. It ends when its standard input does.
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

// Where the package is installed is no business of the checkout.
const require = createRequire(`${process.env.HISTORIAN_OIDC_MODULES}/`);
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')).href).then((module) => ({ Provider: module.default }));

// By name: roles in `roles`, and where Keycloak has them; for how many seconds tokens hold.
const CLIENTS = {
  ana: { roles: ['operators'], ttl: 300 },
  bob: { roles: [], ttl: 300 },
  eve: { roles: ['unknown', 'auditors'], ttl: 300 },
  short: { roles: ['operators'], ttl: 2 },
};
const AUDIENCES = { historian: 'urn:historian', other: 'urn:other' };
const SECRET = 'a secret of the tests';

function key(kid, use) {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid, use, alg: use === 'sig' ? 'RS256' : 'RSA-OAEP' };
}

class Instance {
  constructor(port, keys) {
    this.issuer = `http://127.0.0.1:${port}`;
    this.port = port;
    this.sockets = new Set();
    // How often somebody asked for the keys.
    this.asked = 0;
    this.renew(keys);
  }

  // A provider with these keys in the place of the one before.
  renew(keys) {
    this.keys = keys;
    const provider = new Provider(this.issuer, {
      clients: Object.keys(CLIENTS).map((client_id) => ({
        client_id,
        client_secret: SECRET,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      })),
      jwks: { keys },
      features: {
        clientCredentials: { enabled: true },
        devInteractions: { enabled: false },
        // So that the set has a key for encryption, as those of many providers have.
        encryption: { enabled: true },
        requestObjects: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (ctx, resource, client) => ({
            scope: '',
            audience: resource.replace('urn:', ''),
            accessTokenTTL: CLIENTS[client.clientId].ttl,
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: 'RS256' } },
          }),
        },
      },
      ttl: { ClientCredentials: (ctx, token) => CLIENTS[token.clientId].ttl },
      extraTokenClaims: (ctx, token) => {
        const { roles } = CLIENTS[token.clientId];
        return { roles, realm_access: { roles } };
      },
    });
    this.callback = provider.callback();
  }

  listen() {
    this.server = createServer((request, response) => {
      if (request.url.endsWith('/jwks')) this.asked += 1;
      this.callback(request, response);
    });
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
    return new Promise((resolve, reject) => {
      this.server.on('error', reject);
      this.server.listen(this.port, '127.0.0.1', resolve);
    });
  }

  close() {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    return closed;
  }

  async token(client, audience) {
    const response = await fetch(`${this.issuer}/token`, {
      method: 'POST',
      headers: {
        connection: 'close',
        authorization: `Basic ${Buffer.from(`${client}:${encodeURIComponent(SECRET)}`).toString('base64')}`,
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({ grant_type: 'client_credentials', resource: AUDIENCES[audience] }),
    });
    const answer = await response.json();
    if (!answer.access_token) throw new Error(JSON.stringify(answer));
    return answer.access_token;
  }
}

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const read = (text) => JSON.parse(Buffer.from(text, 'base64url').toString());

async function forged(kind, client) {
  const [header, payload, signature] = (await provider.token(client, 'historian')).split('.');
  const own = provider.keys.find((one) => one.use === 'sig');
  const jwk = { kty: own.kty, n: own.n, e: own.e };
  const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
  switch (kind) {
    case 'none':
      return `${part({ ...read(header), alg: 'none' })}.${payload}.`;
    case 'hs256-pem':
    case 'hs256-jwk': {
      const secret = kind === 'hs256-pem' ? publicKey.export({ format: 'pem', type: 'spki' }) : JSON.stringify(jwk);
      const message = `${part({ ...read(header), alg: 'HS256' })}.${payload}`;
      return `${message}.${createHmac('sha256', secret).update(message).digest('base64url')}`;
    }
    case 'tampered':
      return `${header}.${part({ ...read(payload), roles: ['administrators'], sub: 'root' })}.${signature}`;
    case 'embedded': {
      // A key that the token brings itself.
      const other = key(own.kid, 'sig');
      const { kty, n, e } = other;
      const message = `${part({ ...read(header), jwk: { kty, n, e } })}.${payload}`;
      return `${message}.${sign('sha256', Buffer.from(message), createPrivateKey({ key: other, format: 'jwk' })).toString('base64url')}`;
    }
    case 'crit': {
      const message = `${part({ ...read(header), crit: ['exp'] })}.${payload}`;
      return `${message}.${sign('sha256', Buffer.from(message), createPrivateKey({ key: own, format: 'jwk' })).toString('base64url')}`;
    }
    default:
      throw new Error(`no forgery ${kind}`);
  }
}

const [port, otherPort] = process.argv.slice(2).map(Number);
// The key for encryption is the first in the set: whoever takes any key takes that one.
const keys = () => [key(randomUUID(), 'enc'), key(randomUUID(), 'sig')];
const provider = new Instance(port, keys());
// It has the same keys, and another name.
const other = new Instance(otherPort, provider.keys);
await Promise.all([provider.listen(), other.listen()]);
// The library warns of what is not for production: its words are not answers.
process.stdout.write(`ready ${provider.issuer}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...words] = line.trim().split(' ');
  try {
    let answer = 'done';
    if (command === 'token') answer = await (words[2] === 'other' ? other : provider).token(words[0], words[1] ?? 'historian');
    else if (command === 'forge') answer = await forged(words[0], words[1]);
    else if (command === 'rotate') provider.renew(keys());
    else if (command === 'down') await provider.close();
    else if (command === 'up') await provider.listen();
    else if (command === 'asked') answer = `${provider.asked}`;
    else if (command === 'keys') answer = await (await fetch(`${provider.issuer}/jwks`, { headers: { connection: 'close' } })).text();
    else throw new Error(`no command ${command}`);
    process.stdout.write(`answer ${answer}\n`);
  } catch (error) {
    process.stdout.write(`answer failed: ${error.message.replaceAll('\n', ' ')}\n`);
  }
}
process.exit(0);
