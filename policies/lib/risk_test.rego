package stepward.lib.risk_test

import rego.v2

import data.stepward.lib.risk

table := {"low": {"score": 5}, "high": {"score": 80}, "text": {"score": "5"}, "below": {"score": -1}, "above": {"score": 101}, "empty": {}}

test_scores if {
	risk.score(table, "low") == 5
	risk.score(table, "high") == 80
}

test_unknown if {
	every subject in ["nobody", "text", "below", "above", "empty"] {
		risk.score(table, subject) == "unknown"
		risk.at_least(table, subject, 50)
	}
}

test_at_least if risk.at_least(table, "high", 80)

test_not_at_least if not risk.at_least(table, "low", 6)

test_not_quite if not risk.at_least(table, "high", 81)
