// Package jwt verifies access tokens in compact form (RFC 7515, RFC 7519) by the best
// current practice of RFC 8725 and the profile of RFC 9068, and makes a token.Token of each
// one that passes.
//
// [Verifier.Verify] makes the cheap checks first, and believes nothing before the signature
// is verified: size, compact grammar, canonical base64url, header members, issuer
// (unverified, to choose whose rules apply), algorithm, key, signature; then the claims:
// strict JSON, types, time, audience, kind of token.
//
// jwx/v2, which checks signatures here, is no longer maintained by its authors. So it never
// gets what a client sent, only input that has passed our own splitter and key policy, with
// one key and one algorithm at a time. Only this package and keyset would change if we
// replaced it.
package jwt
