package stepward.policy

import rego.v2

import data.stepward.lib.routes

# A valid token everywhere; most requests meet no stop sign.
require contains {"level": "authenticated"}


# METADATA
# title: Stop signs, from the table
require contains requirement if some requirement in routes.requirements(data.routes, input.request)
