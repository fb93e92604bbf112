package jwt

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/introspection"
	"github.com/stepward/stepward/pkg/trust/statuslist"
)

// Introspector asks an issuer about a token (RFC 7662). Any error means that nobody knows
// whether the token is good. [introspection.Client] is an Introspector.
type Introspector interface {
	Introspect(ctx context.Context, raw string) (introspection.Answer, error)
}

// StatusLists looks tokens up in their issuer's lists. [statuslist.Lists] implements it.
type StatusLists interface {
	Valid(ctx context.Context, r statuslist.Reference) (bool, error)
}

// Introspection sets the terms on which an issuer is asked about tokens.
type Introspection struct {
	Client Introspector
	Prefix string // of its opaque tokens; empty means every token that is not a JWT
	// All asks about JWTs, too. Then the weaker of the two views counts.
	All bool
	// Rank orders proofs by the levels that they show; more is stronger. If Rank is nil, no
	// proof is stronger than another.
	Rank func(token.Proof) int
}

// issuerOfOpaque returns the issuer to ask about raw, or nil if raw is a JWT. We show a
// token only to its own issuer, so a prefix tells tokens apart if several issuers have
// opaque ones.
func (v *Verifier) issuerOfOpaque(raw string) *issuer {
	for _, i := range v.opaque {
		switch p := i.Introspection.Prefix; {
		case p != "" && strings.HasPrefix(raw, p):
			return i
		case p == "" && strings.Count(raw, ".") != 2:
			return i
		}
	}
	return nil
}

// answers holds the names that introspection uses, whatever the profile of the issuer's
// JWTs (RFC 7662 §2.2).
var answers = &profile{client: "client_id", scope: "scope"}

// introspect asks the issuer about a token that we cannot read ourselves. The answer must
// meet the same conditions as a JWT.
func (i *issuer) introspect(ctx context.Context, raw string) (*verified, *token.Error) {
	a, err := i.Introspection.Client.Introspect(ctx, raw)
	switch {
	case ctx.Err() != nil:
		return nil, fail(token.DeadlinePassed, i.Name, "while the issuer was asked")
	case err != nil:
		return nil, fail(token.IntrospectionOut, i.Name, "%v", err)
	case !a.Active:
		return nil, fail(token.Inactive, i.Name,
			"the issuer says so; some issuers say so, too, to a client that may not see the token: "+
				"Keycloak to each client that is not in its aud")
	}
	x, failed := i.read(a.Claims, answers)
	if failed != nil {
		return nil, failed
	}
	if iss, there := a.Claims["iss"]; there && iss != i.URL {
		return nil, fail(token.UntrustedIssuer, i.Name, "the answer is about a token of another issuer")
	}
	if failed := i.checkAnswerKind(a.Claims); failed != nil {
		return nil, failed
	}
	if failed := i.checkAudience(x.token); failed != nil {
		return nil, failed
	}
	return x, x.further(a.Claims)
}

// checkAnswerKind tells access tokens from refresh and other tokens, since an issuer
// answers about all of them: only an access token has a token_type of a scheme that it can
// be presented with (RFC 7662 §2.2, RFC 6749 §5.1).
func (i *issuer) checkAnswerKind(claims map[string]any) *token.Error {
	kind, _ := claims["token_type"].(string)
	if !strings.EqualFold(kind, "Bearer") && !strings.EqualFold(kind, "DPoP") {
		return fail(token.WrongType, i.Name,
			"token_type of the answer is not Bearer or DPoP, so it may be about another kind of token")
	}
	for name, good := range map[string][]string{
		"typ":       {"Bearer", "DPoP", "at+jwt", "application/at+jwt", "JWT"},
		"token_use": {"access", "access_token"},
	} {
		if v, there := claims[name]; there {
			if s, ok := v.(string); !ok || !slices.Contains(good, s) {
				return fail(token.WrongType, i.Name, "%s of the answer is of another kind of token", name)
			}
		}
	}
	return nil
}

// weakened intersects a JWT with what its issuer says about it now. Where the two differ,
// the weaker counts, and a claim that the answer leaves out is dropped: one may describe
// the session as it is now, and the other as it was.
func (x *verified) weakened(ctx context.Context, raw string, now time.Time) (*verified, *token.Error) {
	i := x.issuer
	live, err := i.introspect(ctx, raw)
	if err != nil {
		return nil, err
	}
	if err := i.checkTime(live.token, live.notBefore, now); err != nil {
		return nil, err
	}
	a, b := x.token, live.token
	jti, _ := x.token.Claims["jti"].(string)
	if other, there := b.Claims["jti"].(string); a.Subject != "" && b.Subject != "" && a.Subject != b.Subject ||
		there && jti != "" && other != jti {
		return nil, fail(token.BadClaims, i.Name, "the issuer's answer is about another token")
	}
	both := *x
	if both.confirmation, err = stricter(i, x.confirmation, live.confirmation); err != nil {
		return nil, err
	}
	if both.list == nil {
		both.list = live.list
	}
	t := a
	t.Serial = token.Serial{} // the issuer's next answer may differ
	t.Proofs = []token.Proof{i.Introspection.weakest(a.Strongest(), b.Strongest())}
	t.Scopes, t.Audience = common(a.Scopes, b.Scopes), common(a.Audience, b.Audience)
	t.ExpiresAt = older(a.ExpiresAt, b.ExpiresAt)
	if err := i.checkAudience(t); err != nil {
		return nil, err
	}
	t.Claims = maps.Clone(a.Claims)
	restate(t, i.AssuranceClaim)
	both.token = t
	return &both, nil
}

// stricter returns both bindings, which must not contradict each other.
func stricter(i *issuer, a, b confirmation) (confirmation, *token.Error) {
	if a.thumbprint != "" && b.thumbprint != "" && a.thumbprint != b.thumbprint || a.certificate != "" &&
		b.certificate != "" && a.certificate != b.certificate {
		return confirmation{}, fail(token.BadBinding, i.Name, "the issuer's answer binds the token to another key")
	}
	a.proof = a.proof || b.proof
	if a.thumbprint == "" {
		a.thumbprint = b.thumbprint
	}
	if a.certificate == "" {
		a.certificate = b.certificate
	}
	return a, nil
}

// common returns the values of a that b has as well.
func common(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}

// older returns the earlier of two times. An unknown time is earlier than any other.
func older(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// weakest returns the one proof that holds for both a and b.
func (in *Introspection) weakest(a, b token.Proof) token.Proof {
	return token.Proof{ACR: in.weaker(a.ACR, b.ACR), AMR: common(a.AMR, b.AMR),
		Assurance: common(a.Assurance, b.Assurance), At: older(a.At, b.At)}
}

// weaker returns the acr of the two that proves less, or none if we cannot tell.
func (in *Introspection) weaker(a, b string) string {
	switch {
	case a == b:
		return a
	case a == "" || b == "" || in.Rank == nil:
		return ""
	case in.Rank(token.Proof{ACR: b}) < in.Rank(token.Proof{ACR: a}):
		return b
	}
	return a
}

// restate copies into the claims what t says about how its subject signed in, so that no
// policy reads the stronger view there.
func restate(t token.Token, assurance string) {
	delete(t.Claims, "auth_time") // policies see it in the token only
	proof := t.Strongest()
	lists := map[string][]string{"amr": proof.AMR}
	if assurance != "" {
		lists[assurance] = proof.Assurance
	}
	for name, values := range lists {
		delete(t.Claims, name)
		if len(values) > 0 {
			list := make([]any, len(values))
			for n, v := range values {
				list[n] = v
			}
			t.Claims[name] = list
		}
	}
	for name, value := range map[string]string{"acr": proof.ACR, "scope": strings.Join(t.Scopes, " "),
		"scp": strings.Join(t.Scopes, " ")} {
		if _, there := t.Claims[name]; there {
			t.Claims[name] = value
		}
	}
}
