package jwt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Inspection holds what a token says about itself. None of it has been verified, and the
// signature is left out.
type Inspection struct {
	Algorithm string    `json:"alg"`
	KeyID     string    `json:"kid,omitempty"`
	Type      string    `json:"typ,omitempty"`
	Issuer    string    `json:"iss,omitempty"`
	Audience  []string  `json:"aud,omitempty"`
	IssuedAt  time.Time `json:"iat,omitzero"`
	ExpiresAt time.Time `json:"exp,omitzero"`
	AuthTime  time.Time `json:"auth_time,omitzero"`
	ACR       string    `json:"acr,omitempty"`
	Bound     []string  `json:"cnf,omitempty"` // the members of cnf
}

// Inspect reads a compact token without verifying it, to show it to a person. No decision
// may depend on it. The error says where the token is malformed.
func Inspect(raw string) (Inspection, error) {
	_, h, claims, failed := parse(raw)
	if failed != nil {
		return Inspection{}, errors.New(failed.Detail)
	}
	r := reader{claims: claims}
	x := Inspection{
		Algorithm: h.alg, KeyID: h.kid, Type: h.typ, Issuer: r.text("iss"), Audience: r.texts("aud", true),
		IssuedAt: r.time("iat"), ExpiresAt: r.time("exp"), AuthTime: r.time("auth_time"), ACR: r.text("acr"),
	}
	if cnf, ok := claims["cnf"].(map[string]any); ok {
		for name := range cnf {
			x.Bound = append(x.Bound, name)
		}
		slices.Sort(x.Bound)
	}
	return x, nil
}

// String prints x on two lines.
func (x Inspection) String() string {
	at := func(name string, t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return fmt.Sprintf(", %s %s", name, t.UTC().Format(time.RFC3339))
	}
	s := fmt.Sprintf("%s by key %q, typ %q, iss %q, aud %q\nacr %q%s%s%s", x.Algorithm, x.KeyID, x.Type, x.Issuer,
		x.Audience, x.ACR,
		at("authenticated", x.AuthTime), at("issued", x.IssuedAt), at("expires", x.ExpiresAt))
	if len(x.Bound) > 0 {
		s += ", bound by " + strings.Join(x.Bound, ", ")
	}
	return s
}
