package telemetry

// Field is a member of the event that is logged for each decision.
type Field struct{ Name, Meaning string }

// Fields lists every member that an event can have in addition to ts, level and msg. A
// member that says nothing is left out.
var Fields = []Field{
	{"decision_id", "random; also in the answer's body, in `x-stepward-decision-id` and in Envoy's dynamic metadata"},
	{"result", "`allow`, `challenge`, `redirect`, `preflight`, `deny` or `error`"},
	{"reason", "one of docs/reasons.md"},
	{"method", "of the request"},
	{"host", "in its normal form"},
	{"path", "decoded, without query; of a request that was refused before it could be read as sent, " +
		"cut and escaped, less what looks like a credential"},
	{"kind", "what kind of client asked: navigation, fetch, grpc, …"},
	{"held_level", "the strongest level that the caller proved"},
	{"required_level", "the strictest level that a rule or floor required by name"},
	{"policy_revision", "of the policy that decided"},
	{"duration_ms", "of the decision"},
	{"status", "of the answer, where it was not the application's"},
	{"request_id", "Envoy's x-request-id"},
	{"trace_id", "of the trace that the call belongs to"},
	{"rule", "behind the decision, as package.rule (file:line)"},
	{"issuer", "whose token it is: its URL, as in `iss`"},
	{"issuer_name", "its short name in the configuration"},
	{"subject", "`sub` of a verified token"},
	{"client_id", "of a verified token"},
	{"acr", "of a verified token"},
	{"auth_age", "seconds since the user authenticated"},
	{"detail", "what was wrong with the credential, or what our own fault was"},
	{"policy_code", "`code` of the deny rule"},
	{"policy_reason", "`reason` of the rule: the operator's words"},
	{"shadow_rule", "a rule that is only observed and was not met"},
	{"shadow_missing", "which part of it"},
	{"decided_at", "with `log.input`: the time by which ages were judged"},
	{"input", "with `log.input`: what the policy was asked, less what is masked; see [input](input.md)"},
	{"erased", "with `log.input`: JSON pointers to what is masked"},
	{"caller", "with `log.input`: what else is needed to judge again: " +
		"`presented`, `failure`, `auth_time`, `issued_at`, `assurance`"},
	{"outcome", "with `log.input`: `result`, `reason` and `rule`, and what was asked for: " +
		"`level`, `acr_values`, `max_age`, `scope`"},
}
