// Package opaenvoy runs policies written for opa-envoy-plugin without changes. It holds
// that plugin's whole contract: no deciding code knows about it.
//
// [Load] makes a [Policy], which reads that plugin's input (input.go, body.go, messages.go)
// and answers with its decision object (decision.go, edits.go). A decision becomes a
// [policy.Result] like any other: an allow requires nothing, a denial is worded by the
// policy itself, and "require" in an allow is ours.
//
// As in that plugin, and unlike in package rego, a built-in function that fails is
// undefined, and a policy may read the clock, which stands still during an evaluation. A
// policy reaches the network only if that is permitted, and never sees the process and its
// environment. [Lint] warns about a `not` that holds because a function fails.
//
// [Migration] writes a stepward.yaml from the configuration of an OPA with that plugin.
package opaenvoy
