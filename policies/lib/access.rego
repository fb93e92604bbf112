# METADATA
# title: Roles, scopes and groups of a token
# description: |
#   Reads the places where identity providers put roles. A missing claim counts as
#   empty, so `not access.role(input.token, "payroll")` holds when nobody is
#   signed in and when the claim is missing. Ask for what must be true: a rule that asks
#   more of callers with a role asks nothing of a caller whose role cannot be read.
package stepward.lib.access

import rego.v2

# METADATA
# title: All roles of a token
# description: From the claims roles, groups and realm_access.roles (Keycloak).
roles(token) := union({
	{r | some r in array_claim(token, ["roles"])},
	{r | some r in array_claim(token, ["groups"])},
	{r | some r in array_claim(token, ["realm_access", "roles"])},
})

array_claim(token, path) := value if {
	is_object(token)
	value := object.get(token, array.concat(["claims"], path), [])
	is_array(value)
} else := []

# METADATA
# title: Whether a token has a role
# custom:
#   arguments:
#     name: "stepward.words#/$defs/word"
role(token, name) if {
	is_string(name)
	name in roles(token)
}

# METADATA
# title: Whether a token has every one of some scopes
# custom:
#   arguments:
#     wanted: "stepward.words#/$defs/words"
scopes(token, wanted) if {
	is_array(wanted)
	is_array(token.scopes)
	every scope in wanted {
		scope in token.scopes
	}
}

# METADATA
# title: Whether a token is one of some programs
# description: |
#   Holds for a client that acts for itself and is on the list. It does not hold for a
#   user's token of that client: a program cannot step up, but a user can.
# custom:
#   arguments:
#     clients: "stepward.words#/$defs/clients"
program(token, clients) if {
	token.principal == "client"
	is_string(token.client_id)
	token.client_id in clients
}
