// Package conformance holds, as data, the behaviour that clients and upstreams can rely on,
// and tests it.
//
// A [Case] in cases/*.yaml says what a client sends, what the client and the
// upstream must see, and the clause behind it. A [Driver] carries it out: in this
// process, over gRPC, or through a real Envoy with the bundled configuration.
// Cases belong to a fixture: a configuration and a policy, in cases/fixtures.yaml
// and cases/policy.rego.
//
// The format may still change between versions.
package conformance
