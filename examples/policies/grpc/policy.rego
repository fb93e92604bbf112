package stepward.policy

import rego.v2

import data.stepward.lib.grpc

# A valid token everywhere; most requests meet no stop sign.
require contains {"level": "authenticated"}


# METADATA
# title: Methods that move money, from the table
require contains requirement if some requirement in grpc.requirements(data.methods, input.request)
