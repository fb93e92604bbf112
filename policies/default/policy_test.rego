package stepward.policy_test

import rego.v2

import data.stepward.policy

request(method, path) := {"request": {
	"method": method,
	"path": path,
	"segments": [s | some s in split(path, "/"); s != ""],
}}

test_public_page if {
	policy.require == {{"level": "anonymous"}} with input as request("GET", "/")
}

test_public_only_for_reading if {
	policy.require == {{"level": "authenticated"}} with input as request("POST", "/")
}

test_base_line if {
	policy.require == {{"level": "authenticated"}} with input as request("GET", "/orders")
}

test_known_traffic_flows if {
	policy.require == {{"level": "authenticated"}} with input as request("GET", "/payments/42")
}

test_payment_meets_the_stop_sign if {
	some r in policy.require with input as request("POST", "/payments")
	r.level == "mfa"
	r.max_age == "5m"
}

test_admin_for_every_method if {
	every method in ["GET", "POST", "DELETE"] {
		some r in policy.require with input as request(method, "/admin/users")
		r.level == "phishing-resistant"
	}
}

test_payments_let_only_reading_pass if {
	every method in ["PUT", "PATCH", "DELETE", "FOO", "PROPPATCH", "LINK", "TRACE", "post"] {
		some r in policy.require with input as request(method, "/payments/42")
		r.level == "mfa"
	}
	every method in ["GET", "HEAD", "OPTIONS"] {
		policy.require == {{"level": "authenticated"}} with input as request(method, "/payments/42")
	}
}

test_no_prefix_by_accident if {
	policy.require == {{"level": "authenticated"}} with input as request("GET", "/administrator")
}

test_tenant if {
	policy.headers["x-tenant"] == "acme" with input as object.union(request("GET", "/orders"), {"token": {"claims": {"tenant": "acme"}}})
}

test_no_tenant if {
	not policy.headers["x-tenant"] with input as request("GET", "/orders")
}
