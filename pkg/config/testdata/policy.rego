package stepward.policy

import rego.v2

require contains {"level": "authenticated"}
