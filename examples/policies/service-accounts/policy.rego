package stepward.policy

import rego.v2

import data.stepward.lib.access

# A valid token everywhere; most requests meet no stop sign.
require contains {"level": "authenticated"}

# data.programs lists the programs that are let in.
# METADATA
# title: Reports need a second factor, but of the nightly job
# description: No program can step up. The exempted client shows a token that is bound to its key.
require contains {"level": "mfa"} if {
	input.request.segments[0] == "reports"
	not access.program(input.token, data.programs)
}

require contains {"sender_constrained": true} if {
	input.request.segments[0] == "reports"
	access.program(input.token, data.programs)
}
