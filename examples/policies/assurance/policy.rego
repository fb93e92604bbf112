package stepward.policy

import rego.v2

import data.stepward.lib.aal

# A valid token everywhere; most requests meet no stop sign.
require contains {"level": "authenticated"}

# Assurance levels as in NIST SP 800-63B.
# METADATA
# title: Health records need AAL2 by the methods that were used
require contains {"level": "authenticated", "reason": "AAL2"} if input.request.segments[0] == "records"

# This is for an issuer that fills amr truthfully and has no acr for AAL2: the level on
# the ladder asks for it, and the methods show that it was reached.
require contains {"level": "mfa"} if {
	input.request.segments[0] == "records"
	not aal.level(input.token.amr, object.get(input.token, "acr", "")) >= 2
}
