// An OpenID provider for Stepward's tests, on oidc-provider. PORT is where it listens.
// Nothing here is a real secret.
//
//   POST /_test/rotate   sign with new keys; the old ones stay published
//   POST /_test/drop     publish the newest keys only
import http from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider, errors } from 'oidc-provider';

const issuer = `http://127.0.0.1:${process.env.PORT}`;
const jwt = 'https://api.example.com';
const opaque = 'https://opaque.example.com';

// Grants and tokens outlive the provider that a rotation replaces.
const storage = new Map();
class Memory {
  constructor(model) { this.model = model; }
  key(id) { return `${this.model}:${id}`; }
  async upsert(id, payload) { storage.set(this.key(id), payload); }
  async find(id) { return storage.get(this.key(id)); }
  async findByUid() { return undefined; }
  async findByUserCode() { return undefined; }
  async consume(id) { storage.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { storage.delete(this.key(id)); }
  async revokeByGrantId(grantId) {
    for (const [k, v] of storage) if (v.grantId === grantId) storage.delete(k);
  }
}

let generation = 0;
async function newKeys() {
  generation += 1;
  return Promise.all(['RS256', 'ES256'].map(async (alg) => ({
    ...(await exportJWK((await generateKeyPair(alg, { extractable: true })).privateKey)),
    alg, use: 'sig', kid: `${alg.toLowerCase()}-${generation}-${process.pid}`,
  })));
}

function newProvider(keys) {
  const provider = new Provider(issuer, {
    adapter: Memory,
    jwks: { keys },
    cookies: { keys: ['TEST-cookie-key'] },
    acrValues: ['loa:1', 'loa:2'],
    scopes: ['openid', 'read', 'write'],
    clients: [
      { client_id: 'web', client_secret: 'TEST-web-secret', redirect_uris: [], response_types: [], grant_types: ['client_credentials'] },
      { client_id: 'gateway', client_secret: 'TEST-gateway-secret', redirect_uris: [], response_types: [], grant_types: [] },
      {
        client_id: 'gateway-jwt', client_secret: 'TEST-gateway-secret', redirect_uris: [], response_types: [], grant_types: [],
        introspection_signed_response_alg: 'RS256',
      },
      {
        client_id: 'gateway-key', redirect_uris: [], response_types: [], grant_types: [],
        token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256',
        jwks: JSON.parse(process.env.CLIENT_JWKS || '{"keys":[]}'),
      },
    ],
    extraTokenClaims: async () => ({ acr: 'loa:2', auth_time: Math.floor(Date.now() / 1000), amr: ['pwd', 'otp'] }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      claimsParameter: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      dPoP: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo(ctx, resource) {
          if (resource !== jwt && resource !== opaque) throw new errors.InvalidTarget();
          return {
            scope: 'read write', audience: jwt, accessTokenTTL: 300,
            accessTokenFormat: resource === opaque ? 'opaque' : 'jwt', jwt: { sign: { alg: 'ES256' } },
          };
        },
      },
    },
  });
  return provider.callback();
}

let keys = await newKeys();
let current = newProvider(keys);
http.createServer(async (req, res) => {
  switch (`${req.method} ${req.url}`) {
    case 'POST /_test/rotate':
      keys = [...await newKeys(), ...keys]; // the first of an algorithm signs
      break;
    case 'POST /_test/drop':
      keys = keys.slice(0, 2);
      break;
    default:
      current(req, res);
      return;
  }
  current = newProvider(keys);
  res.writeHead(204).end();
}).listen(Number(process.env.PORT), '127.0.0.1', () => console.log('listening'));
