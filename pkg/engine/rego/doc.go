// Package rego evaluates policies that are written in Rego.
//
// [Compile] reads sources, finds the entry rules of packages stepward.policy and
// stepward.route.NAME in the syntax tree, checks them and compiles once. [Load] prepares
// the result as a [Policy], which is immutable: its methods may be called from many
// goroutines, without exception. [Policy.Evaluate] runs a prepared query under a watchdog.
// Package analysis takes policies apart for their authors, and has its own [Program].
//
// Read load.go for the order, then check.go, literals.go and packages.go for what is
// refused, tables.go and arguments.go for what is rewritten before compilation,
// provided.go, unknown.go and schema*.go for data, and evaluate.go and body.go for a
// decision.
//
// A policy cannot reach the network, read the clock or roll dice: those built-in functions
// do not exist. A built-in function that fails is not "undefined" but an error. It cannot
// misspell a member of the input, because the compiler knows its schema. And it cannot
// compute the name of a header: all names must be known, so that forged headers can be
// removed.
package rego
