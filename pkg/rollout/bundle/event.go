package bundle

import (
	"context"
	"maps"

	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/plugins/logs"
	opaserver "github.com/open-policy-agent/opa/v1/server"
	"go.opentelemetry.io/otel/trace"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/rollout/decisionlog"
	"github.com/stepward/stepward/pkg/stepup"
)

// queueLength is how many decisions may wait to be handed to the plugin: a few seconds of a
// busy service. After that they wait in the plugin's own buffer.
const queueLength = 4096

// queueBytes is about how many bytes may wait with them: a body that the proxy sent stays
// with its decision until it is handed over.
const queueBytes = 64 << 20

// weight estimates how many bytes wait with r.
func weight(r request.Request) int64 {
	const rest, unknown, most = 8 << 10, 1 << 20, 4 << 20
	switch {
	case !r.Body.Present:
		return rest
	case r.Size < 0:
		return rest + unknown
	}
	return rest + min(r.Size, most)
}

// Decided is a decision, with details that its record does not hold.
type Decided struct {
	Record *authz.Record
	Masks  decisionlog.Masks // of the input
	// Revisions are the revisions of the bundles behind it, by name.
	Revisions map[string]string
	// Labels holds the labels of rules, by the rule names in requirements and denials.
	Labels map[string]map[string]any
	// Path is the decision path of a policy for opa-envoy-plugin, whose events look as that
	// plugin logs them; empty for a policy of ours.
	Path string
}

// logged is a decision on its way, and the trace it belongs to.
type logged struct {
	Decided
	span trace.SpanContext
}

// Observe hands d to the plugin that uploads decisions, if there is one. It never waits: if
// there is no room, the decision is dropped and counted.
func (m *Manager) Observe(ctx context.Context, d Decided) {
	if !m.settings.Logs || m.done.Load() {
		return
	}
	w := weight(d.Record.Request)
	if m.waiting.Add(w) > queueBytes {
		m.waiting.Add(-w)
		m.options.OnDrop()
		return
	}
	select {
	case m.queue <- logged{Decided: d, span: trace.SpanContextFromContext(ctx)}:
	default:
		m.waiting.Add(-w)
		m.options.OnDrop()
	}
}

// hand gives decisions to the plugin until ctx ends, and then the ones that still wait.
func (m *Manager) hand(ctx context.Context) {
	for {
		select {
		case d := <-m.queue:
			m.log(d)
			continue
		default:
		}
		select {
		case d := <-m.queue:
			m.log(d)
		case <-ctx.Done():
			if len(m.queue) == 0 {
				return
			}
		}
	}
}

func (m *Manager) log(d logged) {
	defer m.waiting.Add(-weight(d.Record.Request))
	m.gate.settled() // otherwise the masks that came with the policy of d would be missing
	p := logs.Lookup(m.opa)
	if p == nil {
		return // discovery has not asked for any yet
	}
	defer func() {
		if recover() != nil { // a mask of the operator's is evaluated here
			m.options.OnDrop()
		}
	}()
	if err := p.Log(context.Background(), eventOf(d, m.options.HeaderPrefix)); err != nil {
		m.options.OnDrop()
		m.options.OnLog(Line{Level: "error", Message: "a decision was not logged: " + err.Error()})
	}
}

// eventOf turns d into an OPA decision log event: the policy's input, without masked parts,
// and its answer. Anything that OPA has no member for is under custom, with what
// [decisionlog.Parse] needs.
func eventOf(d logged, prefix string) *opaserver.Info {
	r := d.Record
	info := &opaserver.Info{
		DecisionID: r.ID, Timestamp: r.Time.UTC(), Path: "stepward/policy", RemoteAddr: r.Request.Source.Address,
		Metrics: metrics.New(),
		Bundles: map[string]opaserver.BundleInfo{}, EvaluatedRuleLabels: labelsOf(d),
	}
	if len(d.Revisions) == 0 {
		info.Revision = r.Revision
	}
	for name, revision := range d.Revisions {
		info.Bundles[name] = opaserver.BundleInfo{Revision: revision}
	}
	if d.span.HasTraceID() {
		info.TraceID, info.SpanID = d.span.TraceID().String(), d.span.SpanID().String()
	}
	info.Custom = customOf(r)
	var result any = resultOf(r)
	info.Results = &result
	if d.Path != "" {
		foreign(info, d)
		return info
	}
	if e, ok := decisionlog.Of(r, prefix, d.Masks); ok {
		if asked, ok := e.Input["request"].(map[string]any); ok {
			delete(asked, "header_values") // it repeats headers, and an operator's mask would have to name both
		}
		var input any = e.Input
		info.Input = &input
		info.Custom["stepward"] = map[string]any{"caller": e.Caller, "outcome": e.Outcome}
		if len(e.Erased) > 0 {
			info.Custom["erased"] = list(e.Erased)
		}
	}
	return info
}

// foreign gives info the path and input of opa-envoy-plugin, and the members of its
// decision that describe the answer. What a policy of ours would have said is under
// custom.outcome.
func foreign(info *opaserver.Info, d logged) {
	r := d.Record
	info.Path, info.Custom["outcome"] = d.Path, *info.Results
	decision := map[string]any{"allowed": (r.Response.Kind == response.Allow)}
	if r.Response.Kind != response.Allow {
		decision["http_status"] = r.Response.Status
	}
	var result any = decision
	info.Results = &result
	document, erased, ok := decisionlog.Attributes(r, d.Masks)
	if !ok {
		return
	}
	var input any = document
	info.Input = &input
	if len(erased) > 0 {
		info.Custom["erased"] = list(erased)
	}
}

// resultOf returns the answer as an OPA policy would have given it.
func resultOf(r *authz.Record) map[string]any {
	allowed := r.Response.Kind == response.Allow
	out := map[string]any{"result": string(r.Result()), "reason": string(r.Reason()), "allowed": allowed}
	if !allowed {
		out["status"] = r.Response.Status
	}
	put(out, "rule", r.Rule())
	put(out, "required_level", r.Shortfall.Level)
	put(out, "held_level", r.Held)
	if len(r.Shortfall.Ask.ACRValues) > 0 {
		out["acr_values"] = list(r.Shortfall.Ask.ACRValues)
	}
	if age, ok := r.Shortfall.Ask.MaxAge.Get(); ok {
		out["max_age"] = int64(age.Seconds())
	}
	var missing []any
	for _, g := range r.Shortfall.Unmet {
		missing = append(missing, string(g.Part))
	}
	if missing != nil {
		out["missing"] = missing
	}
	return out
}

// customOf returns the values that OPA has no member for, by the names of our own log.
func customOf(r *authz.Record) map[string]any {
	out := map[string]any{"policy_revision": r.Revision, "duration_ms": float64(r.Duration.Microseconds()) / 1000,
		"kind": string(r.Request.Kind)}
	put(out, "request_id", r.Request.ID)
	if r.Token != nil {
		put(out, "issuer", r.Token.Issuer)
		put(out, "issuer_name", r.Token.IssuerName)
		put(out, "subject", r.Token.Subject)
		put(out, "client_id", r.Token.ClientID)
		put(out, "acr", r.Token.Strongest().ACR)
	}
	if age, ok := r.Shortfall.Age.Get(); ok {
		out["auth_age"] = int64(age.Seconds())
	}
	if r.Failure != nil {
		put(out, "issuer", r.Failure.Issuer)
		put(out, "issuer_name", r.Failure.IssuerName)
		put(out, "detail", r.Failure.Detail)
	}
	if r.Fault != nil {
		put(out, "detail", r.Fault.Error())
	}
	if d, ok := r.Decision.(stepup.Deny); ok {
		put(out, "policy_code", d.Denial.Code)
		put(out, "policy_reason", d.Denial.Reason)
	} else if len(r.Shortfall.Unmet) > 0 {
		put(out, "policy_reason", r.Shortfall.Unmet[0].Requirement.Reason)
	}
	return out
}

// labelsOf lists the labels of the rules that held, each once.
func labelsOf(d logged) []map[string]any {
	var out []map[string]any
	seen := map[string]bool{}
	add := func(rule string) {
		labels := d.Labels[rule]
		if len(labels) == 0 || seen[rule] {
			return
		}
		seen[rule] = true
		out = append(out, maps.Clone(labels))
	}
	for _, q := range d.Record.Policy.Require {
		add(q.Rule)
	}
	for _, q := range d.Record.Policy.Deny {
		add(q.Rule)
	}
	return out
}

func put(o map[string]any, name, value string) {
	if value != "" {
		o[name] = value
	}
}

// list returns l as the elements of a JSON array.
func list(l []string) []any {
	out := make([]any, len(l))
	for i, s := range l {
		out[i] = s
	}
	return out
}
