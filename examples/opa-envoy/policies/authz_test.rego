package shop.authz_test

import data.shop.authz

# This also runs under `opa test`.
test_a_guest_does_not_pay if {
	not authz.decision.allowed with input as request("POST", "YWxpY2U6cGFzcw==")
}

test_a_cashier_pays if {
	authz.decision.allowed with input as request("POST", "Ym9iOnBhc3M=")
}

# The answer that each caller gets.
test_nobody_is_told if {
	a := stepward.answer({"path": "/payments", "method": "POST"})
	a.status == 403
}

test_a_guest_reads if {
	a := stepward.answer({"path": "/orders", "headers": {"authorization": "Basic YWxpY2U6cGFzcw=="}})
	a.status == 200
	a.headers["x-role"] == "guest"
}

request(method, credentials) := {
	"attributes": {"request": {"http": {"method": method, "headers": {"authorization": sprintf("Basic %s", [credentials])}}}},
	"parsed_path": ["payments"],
}
