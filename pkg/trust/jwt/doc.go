// Package jwt verifies access tokens in compact form (RFC 7515, RFC 7519) by the
// best current practice of RFC 8725 and the profile of RFC 9068, and makes a
// token.Token of what passes.
//
// [Verifier.Verify] goes from cheap to dear, and believes nothing before the
// signature: size, compact grammar, canonical base64url, header members, issuer
// (unverified, to choose whose rules apply), algorithm, key, signature; then the
// claims: strict JSON, types, time, audience, kind of token.
//
// jwx/v2, which checks signatures here, is no longer maintained by its authors.
// So it is never handed what a client sent, only input that our own splitter and
// key policy have passed, one key and one algorithm at a time. Nothing but this
// package and keyset would change with its successor.
package jwt
