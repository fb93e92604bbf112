// Package validation checks a configuration and its policy exactly as a service would read
// them, and then looks for what a service would accept although it does not mean what it
// says. It also checks what the proxy in front and the issuers have to fit.
//
// [Configuration] checks all of it, [Policy] a policy alone. Both return a [Report], which
// prints itself for people and for tools.
package validation
