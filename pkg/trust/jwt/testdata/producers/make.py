"""Writes, as JSON, tokens of every algorithm and profile made by joserfc."""

import json
import sys

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

now, audience = int(sys.argv[1]), sys.argv[2]
profiles = {
    "rfc9068": ("at+jwt", {"sub": "alice", "client_id": "web", "jti": "1", "iat": now, "scope": "a b"}),
    "keycloak": ("JWT", {"sub": "alice", "azp": "web", "jti": "1", "iat": now, "typ": "Bearer", "scope": "openid"}),
    "entra": ("JWT", {"sub": "alice", "azp": "web", "iat": now, "ver": "2.0", "scp": "user.read"}),
    "generic": ("JWT", {"sub": "alice"}),
}
makers = {
    "ES": lambda alg: ECKey.generate_key({"256": "P-256", "384": "P-384", "512": "P-521"}[alg[2:]]),
    "RS": lambda alg: RSAKey.generate_key(2048),
    "PS": lambda alg: RSAKey.generate_key(2048),
    "Ed": lambda alg: OKPKey.generate_key("Ed25519"),
}
out = {"tokens": [], "proofs": [], "keys": []}
for alg in ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "Ed25519"]:
    key = makers[alg[:2]](alg)
    kid = "joserfc-" + alg
    out["keys"].append({**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": alg})
    for profile, (typ, claims) in profiles.items():
        body = {**claims, "acr": "2", "auth_time": now - 10, "iss": f"https://{profile}.example.com", "aud": audience, "exp": now + 300}
        token = jwt.encode({"alg": alg, "kid": kid, "typ": typ}, body, key, algorithms=[alg])
        out["tokens"].append({"producer": "joserfc", "alg": alg, "profile": profile, "token": token})
print(json.dumps(out))
