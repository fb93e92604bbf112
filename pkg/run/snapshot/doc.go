// Package snapshot turns a configuration into one immutable value: the authorizer that
// decides by it, the keys of its issuers, the TLS side of its listener and, if one is
// configured, the candidate policy that runs in shadow mode.
//
// A request sees one snapshot from beginning to end. Package server puts a snapshot into
// force by swapping one pointer, and makes the next one when files, bundles or the age of
// data change:
//
//	New          from a configuration and the files that it names (snapshot.go)
//	Renewed      the same sources, because data has become too old or fresh again
//	WithBundles  the same files with other bundles
//
// All three end in one function, which gives the snapshot the observer of its decisions:
// see [Options.Observe]. No snapshot can decide without being seen.
//
// policy.go and bundles.go load policies, issuers.go and introspection.go decide whom to
// believe, outbound.go says how issuers are called, read.go reads files that have stopped
// changing, and examine.go compares an issuer with its configuration.
//
// Making a snapshot reads files and makes no network calls. A [Keyring] fetches keys.
package snapshot
