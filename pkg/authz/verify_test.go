package authz

import (
	"context"
	"testing"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
)

// answering verifies any credential with the same result.
type answering struct {
	t   *token.Token
	err error
}

func (v answering) Verify(context.Context, request.Request, credential.Credential) (*token.Token, error) {
	return v.t, v.err
}

// Each scheme has its own verifier, and a credential of no such scheme is worth nothing.
func TestVerifiers(t *testing.T) {
	one, two := &token.Token{Subject: "one", Proofs: []token.Proof{{}}},
		&token.Token{Subject: "two", Proofs: []token.Proof{{}}}
	a := Authorizer{Verifier: Verifiers{credential.Bearer: answering{t: one}, credential.Session: answering{t: two}}}
	for scheme, want := range map[credential.Scheme]*token.Token{credential.Bearer: one, credential.Session: two,
		credential.DPoP: nil, "basic": nil, "": nil} {
		r := Record{Scheme: scheme}
		a.verify(t.Context(), credential.Credential{Scheme: scheme, Raw: "x"}, &r)
		if r.Token != want || (r.Failure != nil) != (want == nil && scheme != "") {
			t.Errorf("%q: %+v, %v", scheme, r.Token, r.Failure)
		}
		if r.Failure != nil && r.Failure.Code != token.BadBinding {
			t.Errorf("%q: %v", scheme, r.Failure)
		}
	}
}

// A bad credential that the browser added by itself is no credential, so that its user can
// log in again. One that could not be judged is our own fault, and one that the client chose
// to send is bad.
func TestBadCredentials(t *testing.T) {
	for name, v := range map[string]struct {
		scheme    credential.Scheme
		err       error
		presented bool
		code      token.Code
	}{
		"a bad session": {credential.Session, &token.Error{Code: token.Expired}, false, ""},
		"a session not judged": {credential.Session, &token.Error{Code: token.DeadlinePassed}, true,
			token.DeadlinePassed},
		"a bad bearer token":      {credential.Bearer, &token.Error{Code: token.Expired}, true, token.Expired},
		"another error":           {credential.Bearer, context.Canceled, true, token.KeysUnavailable},
		"neither token nor error": {credential.Bearer, nil, true, token.KeysUnavailable},
	} {
		a := Authorizer{Verifier: answering{err: v.err}}
		r := Record{Scheme: v.scheme}
		a.verify(t.Context(), credential.Credential{Scheme: v.scheme, Raw: "x"}, &r)
		code := token.Code("")
		if r.Failure != nil {
			code = r.Failure.Code
		}
		if r.Token != nil || r.Question().Presented != v.presented || code != v.code {
			t.Errorf("%s: %+v, presented %v, %q", name, r.Token, r.Question().Presented, code)
		}
	}
}
