package stepward.policy

import rego.v2

import data.stepward.lib.routes

# A valid token everywhere; most requests meet no stop sign.
require contains {"level": "authenticated"}

# The table is data.routes, beside this file.
# METADATA
# title: Stop signs, from the table
require contains entry.require if {
	some entry in data.routes
	routes.matches(entry, input.request)
}
