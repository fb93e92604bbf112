package scenario

import (
	"context"
	"strings"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/request"
)

// Explain takes a request through every stage, and finds the answer that each other kind of
// client would get. claims count as verified; nil verifies the credential in the request.
func (s *Stage) Explain(ctx context.Context, raw request.Raw, claims map[string]any) (explain.Explanation, error) {
	r, err := s.DecideRaw(ctx, raw, claims)
	if err != nil {
		return explain.Explanation{}, err
	}
	e := explain.Of(r)
	e.Claimed = explain.Claimed(raw)
	for _, c := range others {
		shown := claims
		if !c.bearer {
			shown = nil
		}
		r, err := s.DecideRaw(ctx, c.of(raw), shown)
		if err != nil {
			return explain.Explanation{}, err
		}
		answer := explain.AnswerOf(r)
		answer.Client = c.name
		e.Others = append(e.Others, answer)
	}
	return e, nil
}

// other is a kind of client that the same request could come from.
type other struct {
	name   string
	as     string // in a scenario
	bearer bool   // brings an Authorization header along
}

var others = []other{{"browser", "browser", false}, {"page script", "page", true}, {"API client", "api", true},
	{"gRPC client", "grpc", true}}

// of returns raw as if it came from c.
func (c other) of(raw request.Raw) request.Raw {
	var kept []request.Field
	for _, h := range raw.Headers {
		switch name := strings.ToLower(h.Name); {
		case strings.HasPrefix(name, "sec-"), name == "accept", name == "content-type", name == "upgrade",
			name == "x-requested-with":
		case name == "authorization" && !c.bearer:
		default:
			kept = append(kept, h)
		}
	}
	raw.Headers = append(kept, Headers(c.as)...)
	raw.Attributes = nil // they describe the request that was sent
	return raw
}
