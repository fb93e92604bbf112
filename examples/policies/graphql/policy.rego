package stepward.policy

import rego.v2

import data.stepward.lib.graphql

# A valid token everywhere; most requests meet no stop sign.
require contains {"level": "authenticated"}

# Queries only read, and need no more than the baseline.
# METADATA
# title: Whatever may change something needs a second factor
require contains {"level": "mfa", "max_age": "10m"} if {
	input.request.segments[0] == "graphql"
	not graphql.reads(input.request)
}
