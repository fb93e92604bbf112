package snapshot_test

import (
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/run/snapshot"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/trust/revocation"
)

const fresh = `package stepward.policy

import rego.v2

require contains {"level": "mfa", "max_age": "5m"} if input.request.path == "/pay"

require contains {"level": "authenticated"} if input.request.path != "/pay"
`

// warm is a snapshot whose verifier and policy remember a caller and what it asks for.
type warm struct {
	t       *testing.T
	idp     *testidp.IDP
	now     time.Time
	revoked *revocation.Index
	x       *snapshot.Snapshot
	raw     string
}

func newWarm(t *testing.T) *warm {
	t.Helper()
	w := &warm{t: t, now: time.Unix(1_800_000_000, 0)}
	clock := func() time.Time { return w.now }
	var err error
	if w.idp, err = testidp.New(testidp.Options{Issuer: "https://idp.example.com", Now: clock}); err != nil {
		t.Fatal(err)
	}
	w.revoked = revocation.New(0, clock)
	w.x = w.made(fresh)
	w.raw, err = w.idp.Mint(testidp.Token{Claims: map[string]any{
		"aud": "x", "acr": "2", "jti": "t1", "exp": w.now.Unix() + 3600, "auth_time": w.now.Unix(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // the first fills what is remembered
		w.expect("a token that is good", stepup.OK)
	}
	return w
}

// made makes a snapshot of a policy.
func (w *warm) made(policy string) *snapshot.Snapshot {
	w.t.Helper()
	dir := folder(w.t, map[string]string{"p/p.rego": policy, "keys.json": string(w.idp.JWKS())})
	c := configured(w.t, dir, "policy: { paths: [p] }")
	c.Issuers[0].JWKSFile = dir + "/keys.json"
	x, err := snapshot.New(w.t.Context(), c, snapshot.Options{Observe: snapshot.Unobserved, Now: func() time.Time {
		return w.now
	},
		Revocations: w.revoked, Previous: w.x})
	if err != nil {
		w.t.Fatal(err)
	}
	x.Authorizer.Now = func() time.Time { return w.now }
	return x
}

// expect pays, and compares the reason of the answer.
func (w *warm) expect(what string, reason stepup.Reason) {
	w.t.Helper()
	r := w.x.Authorizer.Authorize(w.t.Context(), request.Raw{Method: "GET", Host: "app.example.com", Target: "/pay",
		Scheme:  "https",
		Headers: []request.Field{{Name: "authorization", Value: "Bearer " + w.raw}}})
	if r.Reason() != reason {
		w.t.Errorf("%s: %s (%v, %v); want %s", what, r.Reason(), r.Fault, r.Failure, reason)
	}
}

// Whatever changes is seen by the next decision, though all before it was remembered.
func TestWarmDecisionsSeeChanges(t *testing.T) {
	for name, change := range map[string]struct {
		make   func(w *warm)
		reason stepup.Reason
	}{
		"nothing": {func(*warm) {}, stepup.OK},
		"the authentication is as old as it may be": {func(w *warm) { w.now = w.now.Add(5 * time.Minute) }, stepup.OK},
		"the authentication is too old": {func(w *warm) { w.now = w.now.Add(5*time.Minute + time.Second) },
			stepup.StaleAuthentication},
		"the token has expired": {func(w *warm) { w.now = w.now.Add(time.Hour + time.Minute) },
			stepup.TokenExpired},
		"the token is revoked": {
			func(w *warm) { w.revoke(revocation.Entry{Issuer: w.idp.URL, JTI: "t1"}) }, stepup.TokenRevoked},
		"another token is revoked": {
			func(w *warm) { w.revoke(revocation.Entry{Issuer: w.idp.URL, JTI: "t2"}) }, stepup.OK},
		"another policy, that asks for more": {func(w *warm) {
			w.x = w.made(
				"package stepward.policy\n\nimport rego.v2\n\nrequire contains {\"level\": \"phishing-resistant\"}\n")
		}, stepup.InsufficientLevel},
		"another policy, that refuses": {func(w *warm) { w.x = w.made(closed) }, stepup.PolicyDenied},
		"the key is withdrawn": {func(w *warm) {
			w.idp.RemoveKey("es")
			w.x = w.made(fresh)
		}, stepup.TokenUnknownKey},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWarm(t)
			change.make(w)
			w.expect(name, change.reason)
		})
	}
}

func (w *warm) revoke(e revocation.Entry) {
	w.t.Helper()
	if _, err := w.revoked.Revoke(e); err != nil {
		w.t.Fatal(err)
	}
}
