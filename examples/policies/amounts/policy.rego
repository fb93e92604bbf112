package stepward.policy

import rego.v2

import data.stepward.lib.body

# A valid token everywhere; most requests meet no stop sign.
require contains {"level": "authenticated"}

# A transfer uses any method except those that only read.
transfer if {
	not input.request.method in {"GET", "HEAD", "OPTIONS"}
	input.request.segments == ["transfers"]
}

# METADATA
# title: A transfer that cannot be judged is none
deny contains {"code": "unreadable", "reason": "no JSON body, or one that was cut off"} if {
	transfer
	body.unreadable(input.request)
}

# METADATA
# title: Large transfers need a second factor in the last minute
# description: Asks which amounts are small, so that an amount that is not a number is large.
require contains {"level": "mfa", "max_age": "1m", "reason": "large transfer"} if {
	transfer
	not body.at_most(input.request, ["amount"], 1000)
}
