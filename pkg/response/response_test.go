package response_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
)

// Every status of every kind: only a served answer has a success status, and only an allow
// has none.
func TestSound(t *testing.T) {
	for status := -1; status <= 700; status++ {
		for kind := response.Refuse - 1; kind <= response.Serve+1; kind++ {
			for _, body := range []string{"", "text"} {
				want := false
				switch kind {
				case response.Refuse:
					want = status >= 300 && status < 600
				case response.Allow:
					want = status == 0 && body == ""
				case response.Serve:
					want = status == 200 || status == 204 && body == ""
				}
				if got := (response.Response{Kind: kind, Status: status, Body: body}).Sound(); got != want {
					t.Errorf("kind %d, status %d, body %q: %v; want %v", kind, status, body, got, want)
				}
			}
		}
	}
	if zero := (response.Response{}); zero.Sound() || zero.Kind != response.Refuse {
		t.Error("the zero response can be sent, or does not refuse")
	}
	headers := []request.Field{{Name: "location", Value: "/"}}
	if (response.Response{Kind: response.Allow, Headers: headers}).Sound() {
		t.Error("an allow answers the client")
	}
}

// Each is named once, in lower case, and with no mark that a careless reader would take for
// another.
func TestIdentityHeaders(t *testing.T) {
	names := response.IdentityHeaders()
	if len(names) != 8 || len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names) {
		t.Errorf("%q", names)
	}
	for _, name := range names {
		if !request.IsToken(name) || name != strings.ToLower(name) || name != request.Spelling(name) {
			t.Errorf("%q", name)
		}
	}
}

// Names spell each header as it is set, and as upstreams may read it.
func TestNames(t *testing.T) {
	n := response.NewNames("x-auth-")
	if n.Prefix() != "x-auth-" || n.Header(response.IdentityAuthTime) != "x-auth-auth-time" || n.Header("other") != "" {
		t.Errorf("%+v", n)
	}
	spelt := n.Spellings()
	for _, want := range []string{"x-auth-subject", "x_auth_subject", "x.auth.subject", "x_auth_auth_time"} {
		if !slices.Contains(spelt, want) {
			t.Errorf("%s is not among %q", want, spelt)
		}
	}
	if len(spelt) != 3*len(response.IdentityHeaders()) {
		t.Errorf("%d spellings", len(spelt))
	}
	if zero := (response.Names{}); zero.Prefix() != "" || zero.Header(response.IdentitySubject) != "" || len(zero.Spellings()) > 0 {
		t.Errorf("%+v", zero)
	}
}

// A name is spelt once for each reading, and no spelling is that of another header of ours.
func TestSpellingsAreApart(t *testing.T) {
	for _, prefix := range []string{"x-stepward-", "x-auth-", "x-"} {
		whose := map[string]string{}
		for _, name := range response.IdentityHeaders() {
			for _, s := range response.NewNames(prefix).Spellings() {
				if request.Spelling(s) == prefix+name {
					if was, taken := whose[s]; taken && was != name {
						t.Errorf("%s is %s and %s", s, was, name)
					}
					whose[s] = name
				}
			}
		}
	}
}
