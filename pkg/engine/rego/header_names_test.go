package rego_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/engine/rego"
)

// A header by a name that none has in the input is refused, as a misspelt member is.
func TestHeaderNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"X-Admin": false, "x-Admin": false, "authorization": false, "Authorization": false, "cookie": false,
		"dpop": false, "proxy-authorization": false, "x-forwarded-client-cert": false, "x-stepward-level": false,
		":path":   false,
		"x admin": false, "": false, "x-admin": true, "user-agent": true, "x_admin": true,
	} {
		for _, way := range []string{
			`input.request.headers[%q] == "1"`, `not input.request.headers[%q]`,
			`input.request.header_values[%q][0] == "1"`, `object.get(input.request.headers, %q, "") == ""`,
			"{\n\th := input.request.headers\n\th[%q] == \"1\"\n}",
			"{\n\tsome n in [%q]\n\tinput.request.headers[n] == \"1\"\n}", "count([1 | input.request.headers[%q]]) > 0",
			"input.request.headers[n] == \"1\"\nn := %q", "1 == h\nh := 2 if input.request.headers[%q] else := 1",
			"f(1)\nf(_) if input.request.headers[%q] == \"1\"",
		} {
			_, err := load(t, rego.Options{}, baseline+"deny contains {\"code\": \"x\"} if "+fmt.Sprintf(way, name))
			if (err == nil) != ok || !ok && (!strings.Contains(err.Error(), "header_name") || !strings.Contains(
				err.Error(), "hint: ")) {
				t.Errorf("%q, %s: %v", name, way, err)
			}
		}
	}
	if _, err := load(t, rego.Options{},
		baseline+"deny contains {\"code\": \"x\"} if input.request.headers.authorization"); err == nil {
		t.Error("headers.authorization loads")
	}
}

// No input has a claim that holds a time or identifies the token: a rule that reads one is
// refused, and not silent forever.
func TestClaimNames(t *testing.T) {
	for name, ok := range map[string]bool{"exp": false, "iat": false, "nbf": false, "auth_time": false, "jti": false,
		"roles": true, "EXP": true, "sub": true} {
		for _, way := range []string{
			`input.token.claims[%q] == 1`, `not input.token.claims[%q]`, `object.get(input.token.claims, %q, 0) == 1`,
			"{\n\tc := input.token.claims\n\tc[%q] == 1\n}", "{\n\tt := input.token\n\tt.claims[%q] == 1\n}",
			"{\n\tsome n in [%q]\n\tinput.token.claims[n] == 1\n}",
			"input.token.claims[n] == 1\nn := %q", "f(1)\nf(_) if input.token.claims[%q] == 1",
		} {
			_, err := load(t, rego.Options{}, baseline+"deny contains {\"code\": \"x\"} if "+fmt.Sprintf(way, name))
			if (err == nil) != ok || !ok && (!strings.Contains(err.Error(), "claim_name") || !strings.Contains(
				err.Error(), "max_age")) {
				t.Errorf("%q, %s: %v", name, way, err)
			}
		}
	}
}
