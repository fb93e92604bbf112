// Writes, as JSON, tokens of every algorithm and profile made by jose, and DPoP proofs
// made by dpop. Time and URLs come from the command line.
import { SignJWT, exportJWK, generateKeyPair, calculateJwkThumbprint } from 'jose';
import * as DPoP from 'dpop';

const [now, audience, htu] = [Number(process.argv[2]), process.argv[3], process.argv[4]];
Date.now = () => now * 1000; // for the proofs' iat

const profiles = {
  rfc9068: { typ: 'at+jwt', claims: { sub: 'alice', client_id: 'web', jti: '1', iat: now, scope: 'a b' } },
  keycloak: { typ: 'JWT', claims: { sub: 'alice', azp: 'web', jti: '1', iat: now, typ: 'Bearer', scope: 'openid' } },
  entra: { typ: 'JWT', claims: { sub: 'alice', azp: 'web', iat: now, ver: '2.0', scp: 'user.read' } },
  generic: { typ: undefined, claims: { sub: 'alice' } },
};
const out = { tokens: [], proofs: [], keys: [] };
for (const alg of ['ES256', 'ES384', 'ES512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'EdDSA', 'Ed25519']) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const kid = `jose-${alg}`;
  out.keys.push({ ...(await exportJWK(publicKey)), kid, use: 'sig', alg });
  for (const [profile, { typ, claims }] of Object.entries(profiles)) {
    const header = { alg, kid };
    if (typ) header.typ = typ;
    const token = await new SignJWT({ ...claims, acr: '2', auth_time: now - 10 })
      .setProtectedHeader(header).setIssuer(`https://${profile}.example.com`).setAudience(audience).setExpirationTime(now + 300).sign(privateKey);
    out.tokens.push({ producer: 'npm jose', alg, profile, token });
  }
}
const issuer = await generateKeyPair('ES256', { extractable: true });
out.keys.push({ ...(await exportJWK(issuer.publicKey)), kid: 'jose-issuer', use: 'sig', alg: 'ES256' });
for (const alg of ['ES256', 'Ed25519']) {
  const pair = await DPoP.generateKeyPair(alg, { extractable: true });
  const jkt = await calculateJwkThumbprint(await exportJWK(pair.publicKey));
  const token = await new SignJWT({ ...profiles.rfc9068.claims, cnf: { jkt } })
    .setProtectedHeader({ alg: 'ES256', kid: 'jose-issuer', typ: 'at+jwt' }).setIssuer('https://rfc9068.example.com').setAudience(audience).setExpirationTime(now + 300).sign(issuer.privateKey);
  out.proofs.push({ producer: 'npm dpop', alg, token, proof: await DPoP.generateProof(pair, htu, 'GET', undefined, token) });
}
process.stdout.write(JSON.stringify(out));
