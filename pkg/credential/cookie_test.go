package credential_test

import (
	"testing"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/request"
)

func TestIsOwnCookie(t *testing.T) {
	for cookie, want := range map[string]bool{
		"__Host-stepward":                true,
		"__Host-stepward=1; Path=/":      true,
		"__Host-stepward-session=x":      true,
		"__HOST-StepWard=1":              true, // in any case
		"__Host-stepwar":                 false,
		"__Host-other=1":                 false,
		"stepward=1":                     false,
		"a=__Host-stepward":              false,
		"__Secure-stepward=__Host-stepw": false,
		"":                               false,
	} {
		if got := credential.IsOwnCookie(cookie); got != want {
			t.Errorf("%q: %v; want %v", cookie, got, want)
		}
	}
}

// Only what a browser sends without being told may come from a page of another site.
func TestAmbient(t *testing.T) {
	for scheme, want := range map[credential.Scheme]bool{credential.Bearer: false, credential.DPoP: false,
		credential.Session: true, "": false} {
		if got := scheme.Ambient(); got != want {
			t.Errorf("%q: %v; want %v", scheme, got, want)
		}
	}
}

// A proof accompanies a token, and is nothing on its own.
func TestProof(t *testing.T) {
	r := request.Request{Headers: request.Headers{"authorization": {"DPoP a.b.c"}, "dpop": {"d.e.f"}}}
	if c, err := credential.Extract(r); err != nil || c != (credential.Credential{Scheme: credential.DPoP, Raw: "a.b.c",
		Proof: "d.e.f"}) || !c.Present() {
		t.Errorf("%+v, %v", c, err)
	}
	alone := request.Request{Headers: request.Headers{"dpop": {"d.e.f"}}}
	if c, err := credential.Extract(alone); err != nil || c.Present() {
		t.Errorf("%+v, %v", c, err)
	}
}
