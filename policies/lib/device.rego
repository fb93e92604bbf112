# METADATA
# title: Device posture
# description: |
#   Whether a request comes from a device that is looked after: by the name in its
#   client certificate, which Envoy has verified, or by a header that the mesh sets.
#   A header proves something only where the proxy in front removes what clients send
#   under its name: `stepward validate` reminds of that.
package stepward.lib.device

import rego.v2

# METADATA
# title: Whether the peer's certificate names a managed device
# description: Its principal begins with one of the prefixes, such as spiffe://example.com/device/.
# custom:
#   arguments:
#     prefixes: "stepward.words#/$defs/words"
by_certificate(source, prefixes) if {
	some prefix in prefixes
	prefix != ""
	startswith(source.principal, prefix)
}

# METADATA
# title: Whether the mesh says that the device complies
# description: The header must be there once, with exactly this value.
# custom:
#   arguments:
#     name: "stepward.words#/$defs/header"
#     value: "stepward.words#/$defs/text"
by_header(request, name, value) if request.header_values[name] == [value]
