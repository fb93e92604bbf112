package stepward.policy

import rego.v2

import data.stepward.lib.risk

# A valid token everywhere; most requests meet no stop sign.
require contains {"level": "authenticated"}

# The table data.risk has the scores.
# METADATA
# title: Who is risky, or not known to be safe, proves more before it changes anything
require contains {"level": "mfa", "max_age": "15m"} if {
	not input.request.method in {"GET", "HEAD"}
	risk.at_least(data.risk, input.token.subject, 50)
}

# METADATA
# title: Who is very risky, or not known at all, proves it at once, everywhere
require contains {"level": "phishing-resistant", "max_age": "5m"} if risk.at_least(data.risk, input.token.subject, 90)
