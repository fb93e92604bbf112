// Package outbound is the one place from which Stepward calls other hosts: for keys,
// metadata, introspection and status lists.
//
// What a provider publishes names further addresses, so a provider, or anyone who can
// answer for its name, could point us anywhere. [Client] therefore speaks https only
// (http on loopback), follows no redirect to another host, reads no more than it is told
// to, and looks at the address itself before it opens a connection: a name that leads to
// a private, link-local or metadata address opens none, unless the operator has allowed
// that host by name. A host that keeps failing is left alone for a while.
package outbound
