package stepward.policy

import rego.v2

import data.stepward.lib.device

# A valid token everywhere; most requests meet no stop sign.
require contains {"level": "authenticated"}

# A managed device shows its certificate on the connection.
managed if device.by_certificate(input.source, ["spiffe://example.com/device/"])

# METADATA
# title: From elsewhere than a managed device the console needs the strongest level
require contains {"level": "phishing-resistant"} if {
	input.request.segments[0] == "console"
	not managed
}

# METADATA
# title: From a managed device a second factor will do
require contains {"level": "mfa"} if {
	input.request.segments[0] == "console"
	managed
}
