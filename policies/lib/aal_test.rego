package stepward.lib.aal_test

import rego.v2

import data.stepward.lib.aal

test_levels if {
	every row in [
		[[], "", 0],
		[["unknown"], "", 0],
		[["pwd"], "", 1],
		[["otp"], "", 1],
		[["pwd", "pin"], "", 1],
		[["pwd", "pwd"], "", 1],
		[["pwd", "otp"], "", 2],
		[["otp", "pwd"], "", 2],
		[["swk", "pin"], "", 2],
		[["mfa"], "", 2],
		[["MFA"], "", 0],
		[["mfa"], "phr", 2],
		[["hwk", "pin"], "", 3],
		[["hwk", "fpt", "mfa"], "", 3],
		[["mfa"], "phrh", 3],
		[["hwk"], "phrh", 1],
	] {
		aal.level(row[0], row[1]) == row[2]
	}
}

test_phishing_resistant if aal.phishing_resistant(["hwk", "user"], "")

test_phishing_resistant_by_acr if aal.phishing_resistant([], "phr")

test_a_key_without_its_user_is_not if not aal.phishing_resistant(["hwk"], "")

test_a_code_is_not if not aal.phishing_resistant(["pwd", "otp"], "")
