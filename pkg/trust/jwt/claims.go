package jwt

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/statuslist"
)

// read reads the claims of a token that its issuer vouches for, by their types.
func (i *issuer) read(claims map[string]any, p *profile) (*verified, *token.Error) {
	r := reader{claims: claims}
	t := token.Token{
		Issuer: i.URL, IssuerName: i.Name, Scheme: credential.Bearer, Claims: claims,
		Subject: r.text("sub"), Audience: r.texts("aud", true), IssuedAt: r.time("iat"), ExpiresAt: r.time("exp"),
		Scopes: strings.Fields(r.text(p.scope)), ClientID: r.text(p.client),
		Proofs: []token.Proof{i.proof(&r)},
	}
	notBefore := r.time("nbf")
	r.names()
	if _, there := claims["exp"]; !there && r.wrong == "" {
		return nil, fail(token.BadClaims, i.Name, "no exp")
	}
	if r.wrong != "" {
		return nil, fail(token.BadClaims, i.Name, "%s is of the wrong type", r.wrong)
	}
	t.Principal = token.User
	if t.Subject != "" && t.Subject == t.ClientID || t.Subject == "" && profiles[i.Profile].program(claims) {
		t.Principal = token.Client
	}
	return &verified{token: t, notBefore: notBefore, issuer: i}, nil
}

// proof reads the claims that say how and when the subject authenticated.
func (i *issuer) proof(r *reader) token.Proof {
	p := token.Proof{ACR: r.text("acr"), AMR: r.texts("amr", false), At: r.time("auth_time")}
	if i.AssuranceClaim != "" {
		p.Assurance = r.texts(i.AssuranceClaim, true)
	}
	return p
}

// judge checks that a token is for us and of the right kind: its audience, and the claims
// that its issuer's tokens must have.
func (i *issuer) judge(h header, t token.Token) *token.Error {
	if err := i.checkAudience(t); err != nil {
		return err
	}
	return i.checkKind(h, t.Claims)
}

func (i *issuer) checkAudience(t token.Token) *token.Error {
	if !slices.ContainsFunc(t.Audience, func(a string) bool { return slices.Contains(i.Audiences, a) }) {
		return fail(token.WrongAudience, i.Name, "aud names none of the issuer's configured audiences")
	}
	return nil
}

// further reads the claims whose check needs more than the token itself: what it is bound
// to, and where its status is.
func (x *verified) further(claims map[string]any) *token.Error {
	var err error
	if x.confirmation, err = confirmationOf(claims); err != nil {
		return fail(token.BadBinding, x.issuer.Name, "%v", err)
	}
	list, there, err := statuslist.Of(claims)
	switch {
	case err != nil:
		return fail(token.BadClaims, x.issuer.Name, "%v", err)
	case there && x.issuer.Lists == nil:
		return fail(token.BadClaims, x.issuer.Name, "it names a status list, and none can be looked at")
	case there:
		x.list = &list
	}
	return nil
}

// checkTime compares the token with the clock, with the issuer's leeway. A token has
// already expired in the second that exp names (RFC 7519 §4.1.4).
func (i *issuer) checkTime(t token.Token, notBefore, now time.Time) *token.Error {
	latest := now.Add(i.Leeway)
	switch {
	case !now.Add(-i.Leeway).Before(t.ExpiresAt):
		return fail(token.Expired, i.Name, "exp has passed")
	case notBefore.After(latest):
		return fail(token.NotYetValid, i.Name, "nbf lies in the future")
	case t.IssuedAt.After(latest):
		return fail(token.NotYetValid, i.Name, "iat lies in the future")
	case t.Strongest().At.After(latest):
		return fail(token.BadClaims, i.Name, "auth_time lies in the future")
	}
	return nil
}

// reader reads claims by type and keeps the name of the first claim of another type.
type reader struct {
	claims map[string]any
	wrong  string
}

// names checks the types of the claims that name things, whether or not the profile
// requires them: a jti that is null or a number could not be revoked (RFC 7519 §4.1, RFC
// 8693 §4.3, OpenID Connect Core §2). iss has already selected the issuer, so it is a
// string.
func (r *reader) names() {
	for _, name := range []string{"sub", "jti", "sid", "client_id", "azp"} {
		r.text(name)
	}
}

func (r *reader) fail(name string) {
	if r.wrong == "" {
		r.wrong = name
	}
}

// text returns a string claim. An empty string proves nothing, and no issuer sends one on
// purpose.
func (r *reader) text(name string) string {
	v, there := r.claims[name]
	if !there {
		return ""
	}
	s, ok := v.(string)
	if !ok || s == "" && name != "scope" && name != "scp" {
		r.fail(name)
	}
	return s
}

// texts returns an array of strings, or one string if single allows it.
func (r *reader) texts(name string, single bool) []string {
	v, there := r.claims[name]
	if !there {
		return nil
	}
	if s, ok := v.(string); ok && single && s != "" {
		return []string{s}
	}
	list, ok := v.([]any)
	if !ok {
		r.fail(name)
		return nil
	}
	out := make([]string, 0, len(list))
	for _, x := range list {
		s, ok := x.(string)
		if !ok || s == "" {
			r.fail(name)
			return nil
		}
		out = append(out, s)
	}
	return out
}

// lastSecond is the end of the year 9999.
const lastSecond = 253402300799

// time returns a NumericDate (RFC 7519 §2): a number of seconds, fractions allowed, from
// 1970 to 9999.
func (r *reader) time(name string) time.Time {
	v, there := r.claims[name]
	if !there {
		return time.Time{}
	}
	n, ok := v.(json.Number)
	if !ok {
		r.fail(name)
		return time.Time{}
	}
	f, err := strconv.ParseFloat(n.String(), 64)
	if err != nil || !(f >= 0 && f <= lastSecond) || math.Signbit(f) {
		r.fail(name)
		return time.Time{}
	}
	whole, fraction := math.Modf(f)
	return time.Unix(int64(whole), int64(fraction*1e9))
}
