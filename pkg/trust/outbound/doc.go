// Package outbound is the one place from which Stepward calls other hosts: for keys,
// metadata, introspection and status lists.
//
// What a provider publishes names further addresses, so a provider, or anyone who can
// answer for its name, could point us anywhere. So [Client] speaks only https (http on
// loopback), follows no redirect to another host, and reads no more than it is told to. It
// also checks the address before it connects: it does not connect to a private, link-local
// or metadata address, unless the operator has allowed that host by name. A host that keeps
// failing is left alone for a while.
package outbound
