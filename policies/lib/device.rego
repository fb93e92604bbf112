# METADATA
# title: Device posture
# description: |
#   Says whether a request comes from a managed device: by the name in its client
#   certificate, which Envoy has verified, or by a header that the mesh sets. A header
#   proves something only if the proxy in front removes the client's own header of that
#   name; `stepward validate` reminds you of that.
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
# description: The header must appear once, with exactly this value.
# custom:
#   arguments:
#     name: "stepward.words#/$defs/header"
#     value: "stepward.words#/$defs/text"
by_header(request, name, value) if request.header_values[name] == [value]
