package stepward.lib.breakglass_test

import rego.v2

import data.stepward.lib.breakglass

asked(roles, values) := {"token": {"subject": "alice", "claims": {"roles": roles}}, "request": {"header_values": {"x-break-glass": values}}}

test_reason if breakglass.reason(asked(["oncall"], ["ticket 4711: db down"]), "oncall", "x-break-glass") == "ticket 4711: db down"

test_no_reason if {
	every a in [asked([], ["ticket 4711: db down"]), asked(["oncall"], []), asked(["oncall"], ["x"]), asked(["oncall"], ["          "]), asked(["oncall"], ["ticket 4711: db down", "again, again"])] {
		not breakglass.reason(a, "oncall", "x-break-glass")
		not breakglass.used(a, "oncall", "x-break-glass")
	}
}

test_used if breakglass.used(asked(["oncall"], ["ticket 4711: db down"]), "oncall", "x-break-glass").subject == "alice"
