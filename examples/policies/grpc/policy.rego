package stepward.policy

import rego.v2

import data.stepward.lib.grpc

# A valid token everywhere; most requests meet no stop sign.
require contains {"level": "authenticated"}

# METADATA
# title: Methods that move money, from the table
require contains entry.require if {
	some entry in data.methods
	grpc.matches(entry, input.request)
}
