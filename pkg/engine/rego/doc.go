// Package rego evaluates policies written in Rego, and is the only one that
// imports OPA.
//
// [Load] reads sources, finds the entry rules of packages stepward.policy and
// stepward.route.NAME in the syntax tree, checks them and compiles once. A
// [Policy] is immutable; [Policy.Evaluate] runs a prepared query under a
// watchdog. [Test] runs a policy's own tests.
//
// What a policy cannot do: reach the network, read the clock or roll dice (the
// built-in functions are not there), turn a failing built-in function into
// "undefined" (it is an error), misspell a member of the input (the compiler
// knows its schema), or name a header by computation (the names must be known,
// so that forged ones can be removed).
package rego
