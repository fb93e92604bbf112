# METADATA
# title: Break-glass access
# description: |
#   Lets on-call staff past a refusal in an emergency, on three conditions: a role, a
#   reason in a header, and the level that the policy requires for it. Put the result of
#   `used` into metadata, so that the access log raises the alarm.
package stepward.lib.breakglass

import rego.v2

import data.stepward.lib.access

# METADATA
# title: The reason that a caller with the role has given
# description: The header must appear once, with 10 characters or more.
# custom:
#   arguments:
#     role: "stepward.words#/$defs/word"
#     header: "stepward.words#/$defs/header"
reason(input_document, role, header) := text if {
	is_object(input_document)
	access.role(input_document.token, role)
	[text] := input_document.request.header_values[header]
	count(trim_space(text)) >= 10
}

# METADATA
# title: What to put into metadata
# custom:
#   arguments:
#     role: "stepward.words#/$defs/word"
#     header: "stepward.words#/$defs/header"
used(input_document, role, header) := {"subject": input_document.token.subject, "reason": reason(input_document, role, header)}
