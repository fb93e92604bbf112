package playground

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/stepup"
)

// seen is a line of the live stream: a decision with the closest scenario, or the reason
// why the stream ends.
type seen struct {
	Decision *explain.Explanation `json:"decision,omitempty"`
	Scenario map[string]any       `json:"scenario,omitempty"`
	End      string               `json:"end,omitempty"`
}

// kinds maps each kind of request to the client of a scenario that sends it. An API client
// sends all others.
var kinds = map[string]string{"navigation": "browser", "frame": "browser", "prefetch": "browser", "fetch": "page",
	"subresource": "page", "preflight": "page", "grpc": "grpc"}

// ScenarioOf returns the scenario closest to the request of a decision. The service keeps
// no query, headers or body, and only the claims that an explanation names, so they are not
// in it and the answer may differ. It returns nil for a request that was refused before it
// was read.
func ScenarioOf(e explain.Explanation) map[string]any {
	if e.Request.RawPath == "" {
		return nil
	}
	s := map[string]any{"as": "api", "method": e.Request.Method, "host": e.Request.Host, "path": e.Request.RawPath}
	if as, known := kinds[e.Request.Kind]; known {
		s["as"] = as
	}
	if e.Token != nil {
		s["token"] = claimsOf(e)
	}
	return s
}

// claimsOf describes the caller in the words of a scenario. If nothing is known about the
// authentication, it proves nothing.
func claimsOf(e explain.Explanation) map[string]any {
	t := e.Token
	c := map[string]any{"iss": t.Issuer, "sub": t.Subject, "auth_age": nil}
	if t.Subject == "" {
		c["sub"] = nil
	}
	if t.ClientID != "" {
		c["client_id"] = t.ClientID
	}
	if t.ACR != "" {
		c["acr"] = t.ACR
	}
	if len(t.AMR) > 0 {
		c["amr"] = t.AMR
	}
	if t.ACR == "" && len(t.AMR) == 0 && !slices.Contains([]string{"", stepup.Anonymous, stepup.Authenticated},
		e.Level) {
		c["level"] = e.Level
	}
	if e.AuthAge != nil {
		c["auth_age"] = fmt.Sprintf("%ds", *e.AuthAge)
	}
	if t.Bound {
		c["sender_constrained"] = true
	}
	return c
}

func line(x seen) ([]byte, error) {
	text, err := json.Marshal(x)
	return append(text, '\n'), err
}
