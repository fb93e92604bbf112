// Package bundle lets OPA's own plugins (discovery, bundle, decision logs, status) run
// inside Stepward, by OPA's own configuration: they fetch and verify bundles, upload
// decisions and report their status, to the same control planes that serve any OPA.
//
// A bundle that OPA has fetched and verified takes effect only if Stepward accepts it as
// well: [Options.OnChange] is called inside OPA's own transaction, and an error makes the
// activation fail. OPA then keeps its current bundle, on disk too, reports the failure in
// its status, and fetches again.
//
// This package decides nothing: it provides sources, which package rego loads.
package bundle
