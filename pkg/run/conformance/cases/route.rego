# A package that a route adds by name.
package stepward.route.strict

import rego.v2

require contains {"level": "mfa", "reason": "this route is strict"}
