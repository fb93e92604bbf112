// Package validation reads a configuration and its policy exactly as a service would, and
// then looks for things that a service would accept even though they do not mean what they
// say. It also checks that the proxy in front and the issuers fit the configuration.
//
// [Configuration] checks everything, [Policy] only a policy. Both return a [Report], which
// prints itself for people and for tools.
package validation
