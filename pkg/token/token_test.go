package token_test

import (
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/token"
)

func TestStrongest(t *testing.T) {
	two := token.Token{Proofs: []token.Proof{{ACR: "2"}, {ACR: "1"}}}
	if p := two.Strongest(); p.ACR != "2" {
		t.Errorf("%+v", p)
	}
	var none token.Token
	if p := none.Strongest(); p.ACR != "" || p.AMR != nil || !p.At.IsZero() || p.Once {
		t.Errorf("a token without proofs: %+v", p)
	}
}

// What is our own fault is answered with 503, and says nothing about the caller.
func TestOwnFault(t *testing.T) {
	for code, own := range map[token.Code]bool{
		token.KeysUnavailable: true, token.IntrospectionOut: true, token.DeadlinePassed: true, token.Overloaded: true,
		token.Malformed: false, token.WrongType: false, token.UntrustedIssuer: false, token.BadAlgorithm: false,
		token.UnknownKey: false, token.BadSignature: false, token.Expired: false, token.NotYetValid: false,
		token.WrongAudience: false, token.BadClaims: false, token.BadBinding: false, token.Inactive: false,
		token.Revoked: false, token.DPoPProof: false, token.DPoPNonce: false, "": false, "made up": false,
	} {
		if got := (&token.Error{Code: code}).OwnFault(); got != own {
			t.Errorf("%q: %v; want %v", code, got, own)
		}
	}
}

func TestErrorText(t *testing.T) {
	plain := (&token.Error{Code: token.Expired}).Error()
	detailed := (&token.Error{Code: token.Expired, Detail: "exp has passed", Nonce: "SECRET"}).Error()
	if plain != "token: token_expired" || detailed != "token: token_expired: exp has passed" || strings.Contains(
		detailed, "SECRET") {
		t.Errorf("%q, %q", plain, detailed)
	}
}
