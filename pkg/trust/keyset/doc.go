// Package keyset holds the public keys of issuers (RFC 7517): [Parse] reads a JWK
// set strictly and key by key, [Static] serves one that never changes, [Remote]
// one that is fetched from a jwks_uri or found by discovery and kept fresh.
//
// Readers never wait for a refresh of keys that they know, and a bad answer never replaces
// good keys. remote.go holds what a reader sees, refresh.go when and how keys are fetched,
// discovery.go from where, and disk.go what is kept across restarts. This is one of the two
// packages that import jwx.
package keyset
