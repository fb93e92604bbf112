# METADATA
# title: Risk scores as data
# description: |
#   A score from 0 to 100 for each subject, as a risk engine writes it into data:
#
#       {"alice": {"score": 80}, "bob": {"score": 5}}
#
#   A subject without a valid score is `unknown`, and `risk.at_least` treats the unknown
#   as risky. That includes a caller without a subject, and everybody if the table is
#   missing or too old to be trusted (data.max_age). So the table must list every subject
#   who is not risky.
package stepward.lib.risk

import rego.v2

# METADATA
# title: The score of a subject, or "unknown"
# custom:
#   arguments:
#     table: "stepward.risk"
score(table, subject) := n if {
	n := table[subject].score
	is_number(n)
	n >= 0
	n <= 100
} else := "unknown"

# METADATA
# title: Whether a subject is at least so risky
# custom:
#   arguments:
#     table: "stepward.risk"
#     limit: "stepward.risk#/$defs/limit"
at_least(table, subject, _) if score(table, subject) == "unknown"

at_least(_, _, limit) if not is_number(limit)

at_least(table, subject, limit) if {
	n := score(table, subject)
	is_number(n)
	n >= limit
}
