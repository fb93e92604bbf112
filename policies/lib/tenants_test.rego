package stepward.lib.tenants_test

import rego.v2

import data.stepward.lib.tenants

test_of_path if tenants.of_path({"segments": ["t", "acme", "orders"]}, ["t"]) == "acme"

test_not_of_another_path if not tenants.of_path({"segments": ["x", "acme"]}, ["t"])

test_not_of_a_short_path if not tenants.of_path({"segments": ["t"]}, ["t"])

test_of_host if tenants.of_host({"host": "acme.app.example.com"}, ".app.example.com") == "acme"

test_not_of_other_hosts if {
	every host in ["app.example.com", ".app.example.com", "a.b.app.example.com", "acmeapp.example.com"] {
		not tenants.of_host({"host": host}, ".app.example.com")
	}
}

test_of_token if tenants.of_token({"claims": {"tenant": "acme"}}, "tenant") == "acme"

test_no_tenant if {
	every claims in [{}, {"tenant": ""}, {"tenant": 1}, {"tenant": null}] {
		not tenants.of_token({"claims": claims}, "tenant")
	}
}

test_stays if not tenants.crosses({"claims": {"tenant": "acme"}}, "tenant", "acme")

test_crosses if tenants.crosses({"claims": {"tenant": "acme"}}, "tenant", "other")

test_crosses_without_a_tenant if tenants.crosses({"claims": {}}, "tenant", "acme")

test_crosses_without_a_token if tenants.crosses({}, "tenant", "acme")
