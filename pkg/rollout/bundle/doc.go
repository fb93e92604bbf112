// Package bundle lets OPA's own plugins (discovery, bundle, decision logs, status) run
// inside of Stepward, by OPA's own configuration: they fetch and verify bundles, upload
// decisions and report how they stand, to the control planes that serve any OPA.
//
// A bundle that OPA has fetched and verified comes into force only when Stepward takes
// it as well: [Options.OnChange] is asked inside of OPA's own transaction, and an error
// there is an activation that has failed. OPA then keeps the bundle that it had, on disk
// too, tells its status, and fetches again.
//
// This package decides nothing: it hands out sources, which package rego loads.
package bundle
