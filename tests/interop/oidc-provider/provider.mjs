// SPDX-License-Identifier: Apache-2.0
//
// An OpenID provider (npm oidc-provider, certified) for tests, with hooks under /test/:
//   GET  /test/state          how often each endpoint was asked, and "gap": milliseconds between the last
//                             two questions at the token endpoint
//   POST /test/rotate         new signing keys under new kids, state kept
//   POST /test/mode {…}       misbehave: {"jwks":"down"}, {"token":"drop"|"503"|"hang"|"slow_down"},
//                             {"issuer":"slash"}, {"device":{…}} (that answer to the request
//                             for a code), {"cache":"max-age=100"} (of the key set),
//                             {"revoke":"drop"|"503"|"hang"};
//                             {} behaves again
//   POST /test/mint {"kind", "claims", "header"}  a token that is good or wrong in one way; claims and
//                             header are put over it, null removes one
// Arguments: PORT, or 0 for one of the kernel's choice; the issuer is printed as the first line. On
// loopback and without TLS, unless the environment says more: PROVIDER_HOST (an address),
// PROVIDER_TLS (a folder with key.pem and cert.pem), PROVIDER_CALLBACK (another redirect URI of
// warren-cli: the page of a control server).
import http from 'node:http';
import https from 'node:https';
import { readFileSync } from 'node:fs';
import { createHmac, createPublicKey, generateKeyPairSync } from 'node:crypto';
import * as jose from 'jose';
import { Provider } from 'oidc-provider';

const store = new Map();
class Adapter {
  constructor(name) { this.name = name; }
  key(id) { return `${this.name}:${id}`; }
  async upsert(id, payload) { store.set(this.key(id), payload); }
  async find(id) { return store.get(this.key(id)); }
  async findBy(name, value) {
    for (const [key, payload] of store)
      if (key.startsWith(`${this.name}:`) && payload[name] === value) return payload;
    return undefined;
  }
  async findByUid(uid) { return this.findBy('uid', uid); }
  async findByUserCode(code) { return this.findBy('userCode', code); }
  async consume(id) { store.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { store.delete(this.key(id)); }
  async revokeByGrantId(grantId) {
    for (const [key, payload] of store) if (payload.grantId === grantId) store.delete(key);
  }
}

let generation = 0;
function makeKeys() {
  generation += 1;
  const rsa = { modulusLength: 2048 };
  const list = [
    ['RS256', generateKeyPairSync('rsa', rsa)],
    ['PS256', generateKeyPairSync('rsa', rsa)],
    ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
    ['ES384', generateKeyPairSync('ec', { namedCurve: 'P-384' })],
    ['EdDSA', generateKeyPairSync('ed25519')],
  ];
  return list.map(([alg, pair]) => ({
    ...pair.privateKey.export({ format: 'jwk' }), kid: `${alg}-${process.pid}-${generation}`, alg, use: 'sig',
  }));
}

const { PROVIDER_HOST: host = '127.0.0.1', PROVIDER_TLS: tls, PROVIDER_CALLBACK: callback } =
  process.env;
const algs = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'];
const grants = ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'];
const cli = (alg) => ({
  client_id: alg === 'RS256' ? 'warren-cli' : `warren-${alg}`,
  application_type: 'native', token_endpoint_auth_method: 'none', grant_types: grants,
  response_types: ['code'], redirect_uris: ['http://127.0.0.1/callback', ...(callback ? [callback] : [])],
  id_token_signed_response_alg: alg, require_auth_time: true,
});

let issuer;
let keys;
let handle;
function start() {
  keys = makeKeys();
  const provider = new Provider(issuer, {
    adapter: Adapter,
    clients: [...algs.map(cli), {
      ...cli('RS256'), client_id: 'warren control', client_secret: 's:ecret/%+ x&=',
      token_endpoint_auth_method: 'client_secret_basic', application_type: 'web',
      redirect_uris: ['https://control.example.com/callback'],
    }],
    jwks: { keys },
    cookies: { keys: ['test'] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
    scopes: ['openid', 'offline_access', 'email', 'profile', 'groups'],
    conformIdTokenClaims: false,
    enabledJWA: { idTokenSigningAlgValues: algs },
    features: { deviceFlow: { enabled: true }, devInteractions: { enabled: true },
      revocation: { enabled: !process.env.PROVIDER_NO_REVOCATION },
      // JWT access tokens for whoever asks for a resource (RFC 8707, 9068).
      resourceIndicators: { enabled: true, useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => ({ scope: 'openid email groups profile offline_access',
          audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 600 }) } },
    extraTokenClaims: (ctx, token) => ({ email: `${token.accountId}@Example.com`, groups: ['ops', 'dev'],
      auth_time: Math.floor(Date.now() / 1000) }),
    ttl: { AccessToken: 600, IdToken: Number(process.env.PROVIDER_ID_TTL ?? 600), DeviceCode: 300, RefreshToken: 3600, Grant: 3600,
      Interaction: 600, Session: 3600 },
    findAccount: async (ctx, id) => ({
      accountId: id,
      claims: async () => ({ sub: id, email: `${id}@Example.com`, email_verified: true, name: id,
        groups: ['ops', 'dev'] }),
    }),
  });
  handle = provider.callback();
}

const hits = {};
let asked = [0, 0];
let mode = {};

async function mint(kind, over = {}, overHeader = {}) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer, aud: 'warren-cli', sub: 'alice', email: 'alice@example.com',
    email_verified: true, iat: now, exp: now + 300, groups: ['ops'] };
  let [alg, header] = ['RS256', {}];
  let key = keys[0];
  let sign;
  if (algs.includes(kind)) { alg = kind; key = keys[algs.indexOf(kind)]; }
  if (kind === 'Ed25519') { [alg, key] = ['Ed25519', keys[4]]; }
  if (kind === 'expired') Object.assign(claims, { iat: now - 900, exp: now - 600 });
  if (kind === 'other-issuer') claims.iss = 'https://id.example.com';
  if (kind === 'slash') claims.iss += '/';
  if (kind === 'other-audience') claims.aud = 'somebody-else';
  if (kind === 'nbf') claims.nbf = now + 600;
  if (kind === 'iat') claims.iat = now + 600;
  if (kind === 'crit') header = { crit: ['exp'], exp: now };
  if (kind === 'kid') header = { kid: 'nobody' };
  if (kind === 'typ') header = { typ: 'logout+jwt' };
  if (kind === 'wrong-key') sign = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  if (kind === 'unverified') claims.email_verified = false;
  if (kind === 'old-key') key = oldKeys[0];
  Object.assign(claims, over);
  for (const [name, value] of Object.entries(claims)) if (value === null) delete claims[name];
  header = { ...header, ...overHeader };
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const protectedHeader = { alg, kid: key.kid, typ: 'JWT', ...header };
  if (kind === 'none') return `${encode({ ...protectedHeader, alg: 'none' })}.${encode(claims)}.`;
  if (kind === 'none-signed' || kind === 'hs256') {
    const head = encode({ ...protectedHeader, alg: kind === 'hs256' ? 'HS256' : 'none' });
    const pem = createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
    const mac = createHmac('sha256', pem).update(`${head}.${encode(claims)}`).digest('base64url');
    return `${head}.${encode(claims)}.${mac}`;
  }
  const jws = new jose.CompactSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader(protectedHeader);
  const token = await jws.sign(sign ?? await jose.importJWK(key, alg),
    { crit: { exp: true } });
  if (kind === 'bad-signature') {
    const last = token.slice(-20, -19);
    return token.slice(0, -20) + (last === 'A' ? 'B' : 'A') + token.slice(-19);
  }
  return token;
}

let oldKeys;
async function hook(req, path) {
  let body = '';
  for await (const piece of req) body += piece;
  const value = body ? JSON.parse(body) : {};
  if (path === '/test/state') return { ...hits, gap: asked[1] - asked[0] };
  if (path === '/test/mode') { mode = value; return mode; }
  if (path === '/test/mint') return { token: await mint(value.kind, value.claims, value.header) };
  if (path === '/test/rotate') { oldKeys = keys; start(); return { generation }; }
  return { error: 'no such hook' };
}

function reply(res, status, value) {
  res.writeHead(status, { 'content-type': 'application/json' });
  res.end(JSON.stringify(value));
}

async function answer(req, res) {
  const { pathname } = new URL(req.url, 'http://x');
  if (pathname.startsWith('/test/')) {
    try { reply(res, 200, await hook(req, pathname)); } catch (e) { reply(res, 500, { error: String(e) }); }
    return;
  }
  hits[pathname] = (hits[pathname] ?? 0) + 1;
  if (pathname === '/token') asked = [asked[1], performance.now()];
  if (pathname === '/jwks' && mode.jwks === 'down') { req.socket.destroy(); return; }
  if (pathname === '/jwks' && mode.cache) res.setHeader('cache-control', mode.cache);
  if (pathname === '/device/auth' && mode.device) { reply(res, 200, mode.device); return; }
  if (pathname === '/token/revocation' && mode.revoke === 'drop') { req.socket.destroy(); return; }
  if (pathname === '/token/revocation' && mode.revoke === '503') { reply(res, 503, {}); return; }
  if (pathname === '/token/revocation' && mode.revoke === 'hang') return;
  if (pathname === '/token' && mode.token === 'drop') { req.socket.destroy(); return; }
  if (pathname === '/token' && mode.token === 'hang') return;
  if (pathname === '/token' && mode.token === '503') { reply(res, 503, {}); return; }
  if (pathname === '/token' && mode.token === 'slow_down') { reply(res, 400, { error: 'slow_down' }); return; }
  if (pathname === '/.well-known/openid-configuration' && mode.issuer === 'slash') {
    reply(res, 200, { issuer: `${issuer}/`, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/jwks` });
    return;
  }
  handle(req, res);
}
const server = tls
  ? https.createServer({ key: readFileSync(`${tls}/key.pem`), cert: readFileSync(`${tls}/cert.pem`) },
    answer)
  : http.createServer(answer);
server.listen(Number(process.argv[2] ?? 0), host, () => {
  issuer = `${tls ? 'https' : 'http'}://${host}:${server.address().port}`;
  start();
  console.log(issuer);
});
