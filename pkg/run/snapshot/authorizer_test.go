package snapshot

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/rollout/decisionlog"
)

// What is configured is what decides.
func TestAuthorizer(t *testing.T) {
	c := parse(t, t.TempDir(), corp(`, dpop: { origins: ["https://api.example.com"] }, levels: { mfa: { acr: [silver] } }`)+`
request: { path_case: fold, trusted_hops: 1, xfcc: 2, allow: [path_parameters] }
limits: { deadline: 2s, path: 1KiB, segments: 7 }
upstream: { header_prefix: x-auth-, authorization: remove }
challenge: { realm: bank, disclose: none }
errors: { status: 500 }
`)
	a, err := NewAuthorizer(c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := a.Normalize; !n.FoldPathCase || n.TrustedHops != 1 || n.CertificateHop != 2 || n.MaxPath != 1024 ||
		n.MaxSegments != 7 {
		t.Errorf("%+v", n)
	}
	if w := a.Answers; w.Names.Prefix() != "x-auth-" || !w.RemoveAuthorization || w.Realm != "bank" ||
		!w.HideRequirements || w.FaultStatus != 500 || !slices.Equal(w.DPoPAlgorithms, []string{"ES256", "EdDSA"}) {
		t.Errorf("%+v", w)
	}
	if a.Deadline != 2*time.Second || a.Observe != nil || a.Gate != nil || a.Now == nil || a.Rand == nil {
		t.Errorf("%+v", a)
	}
	if _, own := a.Ladders["corp"]; !own {
		t.Error("the issuer's own words are lost")
	}
	c.Levels = []config.Level{{Name: "mfa"}, {Name: "mfa"}}
	if a, err := NewAuthorizer(c, nil, nil); err == nil || a != nil {
		t.Errorf("a ladder with two levels of one name: %v", err)
	}
}

// Proofs are asked for in the algorithms of issuers that take proofs, each once.
func TestProofAlgorithms(t *testing.T) {
	origins := []string{"https://api.example.com"}
	got := proofAlgorithms([]config.Issuer{
		{DPoP: config.DPoP{Algorithms: []string{"RS256"}}},
		{DPoP: config.DPoP{Origins: origins, Algorithms: []string{"ES384", "ES256"}}},
		{DPoP: config.DPoP{Origins: origins}},
	})
	if want := []string{"ES384", "ES256", "EdDSA"}; !slices.Equal(got, want) {
		t.Errorf("%q; want %q", got, want)
	}
}

// A decision is uploaded with what its snapshot knows of the policy.
func TestDecided(t *testing.T) {
	x := made(t, parse(t, t.TempDir(), corp("")+
		"log: { input: true, mask: [/input/token/claims/email], keep: [/input/request/query] }\n"), nil)
	r := &authz.Record{ID: "d1"}
	x.policy.revisions = map[string]string{"authz": "r1"}
	d := x.Decided(r)
	if d.Record != r || d.Path != "" || d.Revisions["authz"] != "r1" {
		t.Errorf("%+v", d)
	}
	if want := (decisionlog.Masks{More: []string{"/input/token/claims/email"}, Keep: []string{
		"/input/request/query"}}); !slices.Equal(d.Masks.More, want.More) || !slices.Equal(d.Masks.Keep, want.Keep) {
		t.Errorf("%+v", d.Masks)
	}
	x.Config.Policy.Compat = config.OPAEnvoy
	if d := x.Decided(r); d.Path == "" || strings.HasPrefix(d.Path, "stepward") {
		t.Errorf("%q", d.Path)
	}
	x.Config.Policy.Path = "mine/allow"
	if d := x.Decided(r); d.Path != "mine/allow" {
		t.Errorf("%q", d.Path)
	}
}
