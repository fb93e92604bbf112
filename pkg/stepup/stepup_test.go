package stepup_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

var now = time.Unix(1_800_000_000, 700_000_000)

func user(acr string, ago time.Duration) *token.Token {
	return &token.Token{
		Issuer: "https://idp.example.com", IssuerName: "corp", Subject: "alice", Principal: token.User,
		Scheme:   credential.Bearer,
		Audience: []string{"https://api.example.com"}, Scopes: []string{"read"},
		Proofs:   []token.Proof{{ACR: acr, AMR: []string{"pwd", "otp"}, At: now.Truncate(time.Second).Add(-ago)}},
		IssuedAt: now.Add(-time.Minute), ExpiresAt: now.Add(time.Hour),
	}
}

func with(t *token.Token, change func(*token.Token)) *token.Token {
	change(t)
	return t
}

func age(d time.Duration) stepup.Age { return stepup.AgeOf(d) }

// What one token lacks of some requirements, and what it is told.
var vectors = []struct {
	name   string
	reqs   []stepup.Requirement
	token  *token.Token
	want   stepup.Reason
	params string // of the challenge
}{
	{"level met", []stepup.Requirement{{Level: "mfa"}}, user("loa:2", 0), "ok", ""},
	{"stronger level meets a weaker", []stepup.Requirement{{Level: "mfa"}}, user("phr", 0), "ok", ""},
	{"level short", []stepup.Requirement{{Level: "mfa"}}, user("loa:1", 0), "insufficient_level",
		`acr_values="loa:2 loa:2b"`},
	{"acr of another case", []stepup.Requirement{{Level: "mfa"}}, user("LOA:2", 0), "insufficient_level",
		`acr_values="loa:2 loa:2b"`},
	{"no acr", []stepup.Requirement{{Level: "password"}}, user("", 0), "insufficient_level", `acr_values="loa:1"`},
	{"authenticated", []stepup.Requirement{{Level: "authenticated"}}, user("", 0), "ok", ""},
	{"the empty requirement means authenticated", []stepup.Requirement{{Reason: "x"}}, user("", 0), "ok", ""},
	{"unknown level", []stepup.Requirement{{Level: "mfaa"}}, user("phrh", 0), "policy_unsatisfiable", ""},

	{"age at the limit", []stepup.Requirement{{Level: "mfa", MaxAge: age(5 * time.Minute)}},
		user("loa:2", 300*time.Second), "ok", ""},
	{"one second too old", []stepup.Requirement{{Level: "mfa", MaxAge: age(5 * time.Minute)}},
		user("loa:2", 301*time.Second), "stale_authentication", `acr_values="loa:2 loa:2b", max_age="300"`},
	{"age alone", []stepup.Requirement{{MaxAge: age(time.Minute)}}, user("", 2*time.Minute), "stale_authentication",
		`max_age="60"`},
	{"no auth_time", []stepup.Requirement{{MaxAge: age(time.Hour)}},
		with(user("", 0), func(t *token.Token) { t.Proofs[0].At = time.Time{} }), "stale_authentication",
		`max_age="3600"`},
	{"auth_time a little ahead", []stepup.Requirement{{MaxAge: age(time.Minute)}}, user("", -10*time.Second), "ok", ""},
	{"max_age 0 within the window", []stepup.Requirement{{MaxAge: age(0)}}, user("", 60*time.Second), "ok", ""},
	{"max_age 0 after the window", []stepup.Requirement{{MaxAge: age(0)}}, user("", 61*time.Second),
		"stale_authentication", `max_age="0"`},
	{"another age applies beside 0", []stepup.Requirement{{MaxAge: age(0)}, {MaxAge: age(30 * time.Second)}},
		user("", 40*time.Second), "stale_authentication", `max_age="0"`},
	{"level and age", []stepup.Requirement{{Level: "mfa", MaxAge: age(time.Minute)}}, user("loa:1", time.Hour),
		"insufficient_level", `acr_values="loa:2 loa:2b", max_age="60"`},

	{"strictest of two levels", []stepup.Requirement{{Level: "mfa"}, {Level: "phishing-resistant"}}, user("loa:2", 0),
		"insufficient_level", `acr_values="phr phrh"`},
	{"smallest of two ages", []stepup.Requirement{{MaxAge: age(time.Minute)}, {MaxAge: age(time.Hour)}},
		user("", 2*time.Minute), "stale_authentication", `max_age="60"`},
	{"acr exactly", []stepup.Requirement{{ACR: []string{"b", "a"}}}, user("a", 0), "ok", ""},
	{"acr in its order", []stepup.Requirement{{ACR: []string{"b", "a"}}}, user("phrh", 0), "insufficient_level",
		`acr_values="b a"`},
	{"acr within a level", []stepup.Requirement{{ACR: []string{"phrh", "loa:1", "loa:2"}}, {Level: "mfa"}},
		user("loa:1", 0), "insufficient_level", `acr_values="phrh loa:2"`},
	{"a met acr list still narrows", []stepup.Requirement{{ACR: []string{"loa:1", "phr"}}, {Level: "mfa"}},
		user("loa:1", 0), "insufficient_level", `acr_values="phr"`},
	{"nothing satisfies both", []stepup.Requirement{{ACR: []string{"loa:1"}}, {Level: "mfa"}}, user("loa:1", 0),
		"policy_unsatisfiable", ""},
	{"two disjoint lists", []stepup.Requirement{{ACR: []string{"a"}}, {ACR: []string{"b"}}}, user("a", 0),
		"policy_unsatisfiable", ""},

	{"methods met", []stepup.Requirement{{Level: "mfa", AMR: []string{"otp"}}}, user("loa:2", 0), "ok", ""},
	{"methods short", []stepup.Requirement{{Level: "mfa", AMR: []string{"otp", "hwk"}}}, user("loa:2", 0),
		"insufficient_methods", ""},
	{"level and methods short", []stepup.Requirement{{Level: "mfa", AMR: []string{"hwk"}}}, user("loa:1", 0),
		"insufficient_level", `acr_values="loa:2 loa:2b"`},
	{"scope met", []stepup.Requirement{{Scope: []string{"read"}}}, user("", 0), "ok", ""},
	{"scope short", []stepup.Requirement{{Scope: []string{"read", "write"}}}, user("", 0), "insufficient_scope",
		`scope="read write"`},
	{"level and scope short", []stepup.Requirement{{Level: "mfa", Scope: []string{"write"}}}, user("loa:1", 0),
		"insufficient_level", `acr_values="loa:2 loa:2b", scope="write"`},
	{"all scopes", []stepup.Requirement{{Scope: []string{"a", "b"}}, {Scope: []string{"b", "c"}}}, user("", 0),
		"insufficient_scope", `scope="a b c"`},

	{"audience met", []stepup.Requirement{{Audience: []string{"x", "https://api.example.com"}}}, user("", 0), "ok", ""},
	{"audience", []stepup.Requirement{{Audience: []string{"x"}}}, user("", 0), "token_wrong_audience", ""},
	{"issuer met", []stepup.Requirement{{Issuer: []string{"https://idp.example.com"}}}, user("", 0), "ok", ""},
	{"issuer", []stepup.Requirement{{Issuer: []string{"https://idp.example.com/"}}}, user("", 0),
		"policy_unsatisfiable", ""},
	{"token age met", []stepup.Requirement{{TokenAge: age(time.Minute + time.Second)}}, user("", 0), "ok", ""},
	{"token age", []stepup.Requirement{{TokenAge: age(30 * time.Second)}}, user("", 0), "token_too_old", ""},
	{"token without iat", []stepup.Requirement{{TokenAge: age(time.Hour)}},
		with(user("", 0), func(t *token.Token) { t.IssuedAt = time.Time{} }), "token_too_old", ""},
	{"sender constrained", []stepup.Requirement{{SenderConstrained: true}}, user("", 0), "not_sender_constrained", ""},
	{"sender constrained met", []stepup.Requirement{{SenderConstrained: true}},
		with(user("", 0), func(t *token.Token) { t.SenderConstrained = true }), "ok", ""},
	{"audience before level", []stepup.Requirement{{Level: "mfa", Audience: []string{"x"}}}, user("", 0),
		"token_wrong_audience", ""},
	{"audience before token age", []stepup.Requirement{{TokenAge: age(0), Audience: []string{"x"}}}, user("", 0),
		"token_wrong_audience", ""},
	{"token age before sender constraint", []stepup.Requirement{{TokenAge: age(0), SenderConstrained: true}},
		user("", 0), "token_too_old", ""},
	{"sender constraint before issuer", []stepup.Requirement{{SenderConstrained: true, Issuer: []string{"x"}}},
		user("", 0), "not_sender_constrained", ""},
	{"issuer before level", []stepup.Requirement{{Level: "mfa", Issuer: []string{"x"}}}, user("loa:1", 0),
		"policy_unsatisfiable", ""},

	{"a client cannot step up", []stepup.Requirement{{Level: "mfa"}},
		with(user("loa:1", 0), func(t *token.Token) { t.Principal = token.Client }), "policy_unsatisfiable", ""},
	{"a client cannot authenticate anew", []stepup.Requirement{{MaxAge: age(time.Minute)}},
		with(user("", time.Hour), func(t *token.Token) { t.Principal = token.Client }), "policy_unsatisfiable", ""},
	{"a client may lack scope", []stepup.Requirement{{Scope: []string{"x"}}},
		with(user("", 0), func(t *token.Token) { t.Principal = token.Client }), "insufficient_scope", `scope="x"`},
	{"a client with enough", []stepup.Requirement{{Level: "mfa"}},
		with(user("loa:2", 0), func(t *token.Token) { t.Principal = token.Client }), "ok", ""},

	{"a floor beside a rule", []stepup.Requirement{{Level: "anonymous"}, {Level: "mfa", Floor: true}}, user("loa:1", 0),
		"insufficient_level", `acr_values="loa:2 loa:2b"`},
	{"a floor alone covers nothing", []stepup.Requirement{{Level: "mfa", Floor: true}}, user("phr", 0),
		"policy_no_match", ""},
	{"a shadow alone covers nothing", []stepup.Requirement{{Level: "anonymous", Shadow: true}}, user("phr", 0),
		"policy_no_match", ""},
	{"a shadow is not enforced", []stepup.Requirement{{Level: "authenticated"},
		{Level: "phishing-resistant", Shadow: true}}, user("", 0), "ok", ""},
	{"nothing at all", nil, user("phrh", 0), "policy_no_match", ""},
	{"anonymous", []stepup.Requirement{{Level: "anonymous"}}, nil, "ok", ""},
	{"anonymous beside authenticated", []stepup.Requirement{{Level: "anonymous"}, {Level: "authenticated"}}, nil,
		"no_credentials", ""},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			s := stepup.Assess(v.reqs, ladder(t), v.token, now)
			d := stepup.Decide(stepup.Case{Shortfall: s, Token: v.token, Presented: v.token != nil})
			if d.Reason() != v.want {
				t.Fatalf("%s; want %s (%+v)", d.Reason(), v.want, s)
			}
			if c, ok := d.(stepup.Challenge); ok && v.params != "" {
				if got := stepup.FormatChallenge("Bearer", c.Ask.Params()); got != "Bearer "+v.params {
					t.Errorf("challenge %s; want %s", got, v.params)
				}
			} else if v.params != "" {
				t.Errorf("%T; want a challenge", d)
			}
			if _, ok := d.(stepup.Allow); ok != (v.want == "ok") {
				t.Errorf("%T for %s", d, v.want)
			}
		})
	}
}

// The order of judgement: each case has every later trouble too.
func TestOrderOfJudgement(t *testing.T) {
	weak := user("loa:1", time.Hour)
	hard := stepup.Assess([]stepup.Requirement{{Level: "mfa"}}, ladder(t), weak, now)
	denials := []stepup.Denial{{Code: "later"}, {Code: "first", Always: true}}
	bad := &token.Error{Code: token.BadSignature}
	for _, v := range []struct {
		name string
		c    stepup.Case
		want stepup.Reason
	}{
		{"fault before no match", stepup.Case{Fault: stepup.PolicyError, Denials: denials, Failure: bad},
			"policy_error"},
		{"no match before denials", stepup.Case{Denials: denials, Failure: bad}, "policy_no_match"},
		{"always before keys", stepup.Case{Shortfall: hard, Denials: denials, Failure: &token.Error{
			Code: token.KeysUnavailable}}, "policy_denied"},
		{"keys before denial", stepup.Case{Shortfall: hard, Denials: denials[:1], Failure: &token.Error{
			Code: token.KeysUnavailable}}, "keys_unavailable"},
		{"bad token before denial", stepup.Case{Shortfall: hard, Denials: denials[:1], Failure: bad},
			"token_bad_signature"},
		{"no credential before denial", stepup.Case{Shortfall: hard, Denials: denials[:1]}, "no_credentials"},
		{"denial before level", stepup.Case{Shortfall: hard, Denials: denials[:1], Token: weak, Presented: true},
			"policy_denied"},
		{"level", stepup.Case{Shortfall: hard, Token: weak, Presented: true}, "insufficient_level"},
		{"a credential that is neither good nor bad", stepup.Case{Shortfall: hard, Presented: true}, "internal"},
		{"nothing required: a bad token is ignored", stepup.Case{Shortfall: stepup.Shortfall{Covered: true},
			Failure: bad, Presented: true}, "ok"},
		{"nothing required: a denial is not", stepup.Case{Shortfall: stepup.Shortfall{Covered: true},
			Denials: denials[:1]}, "policy_denied"},
		{"the zero case", stepup.Case{}, "policy_no_match"},
	} {
		if d := stepup.Decide(v.c); d.Reason() != v.want {
			t.Errorf("%s: %s; want %s", v.name, d.Reason(), v.want)
		}
	}
}

func TestOnlyAPersonIsRedirected(t *testing.T) {
	s := stepup.Assess([]stepup.Requirement{{Level: "mfa"}}, ladder(t), nil, now)
	if d := stepup.Decide(stepup.Case{Shortfall: s, Interactive: true}); stepup.ResultOf(d) != stepup.ResultRedirect {
		t.Errorf("%T; want a redirect", d)
	}
	if d := stepup.Decide(stepup.Case{Shortfall: s}); stepup.ResultOf(d) != stepup.ResultChallenge {
		t.Errorf("%T; want a challenge", d)
	}
	bad := stepup.Case{Shortfall: s, Interactive: true, Presented: true, Failure: &token.Error{Code: token.Expired}}
	if d := stepup.Decide(bad); stepup.ResultOf(d) != stepup.ResultChallenge {
		t.Errorf("a bad token of a navigation: %T; want a challenge", d)
	}
	if got := stepup.ResultOf(nil); got != stepup.ResultError {
		t.Errorf("nothing decided: %s", got)
	}
}

// A caller that brings exactly what a challenge asks for is let in, methods apart.
func TestChallengeIsEnough(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) []string {
		return slices.DeleteFunc(slices.Clone(from), func(string) bool { return rng.IntN(2) == 0 })
	}
	asked := 0
	for range 20_000 {
		var reqs []stepup.Requirement
		for range 1 + rng.IntN(4) {
			r := stepup.Requirement{Level: []string{"authenticated", "password", "mfa", "phishing-resistant"}[rng.IntN(
				4)], Scope: pick("a", "b", "c")}
			if rng.IntN(3) == 0 {
				r.Level, r.ACR = "", pick("phrh", "loa:2", "x", "phr", "loa:1")
			}
			if rng.IntN(2) == 0 {
				r.MaxAge = age(time.Duration(rng.IntN(400)) * time.Second)
			}
			reqs = append(reqs, r)
		}
		tok := user([]string{"", "loa:1", "loa:2", "phr"}[rng.IntN(4)], time.Duration(rng.IntN(600))*time.Second)
		d := stepup.Decide(stepup.Case{Shortfall: stepup.Assess(reqs, ladder(t), tok, now), Token: tok,
			Presented: true})
		c, ok := d.(stepup.Challenge)
		if !ok {
			continue
		}
		asked++
		for _, acr := range append(slices.Clone(c.Ask.ACRValues), "") {
			if acr == "" && len(c.Ask.ACRValues) > 0 {
				continue
			}
			again := user(acr, 0)
			again.Scopes = c.Ask.Scope
			if s := stepup.Assess(reqs, ladder(t), again, now); len(s.Unmet) > 0 {
				t.Fatalf("%+v asks for %+v, which is then not enough: %+v", reqs, c.Ask, s.Unmet)
			}
		}
	}
	if asked < 1000 {
		t.Fatalf("only %d challenges tried", asked)
	}
}

// A further requirement never turns a refusal into an allow.
func TestMoreRulesAreNeverEasier(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	levels := ladder(t).Names()
	allows := func(reqs []stepup.Requirement, tok *token.Token) bool {
		d := stepup.Decide(stepup.Case{Shortfall: stepup.Assess(reqs, ladder(t), tok, now), Token: tok,
			Presented: true})
		_, ok := d.(stepup.Allow)
		return ok
	}
	for range 5_000 {
		tok := user([]string{"", "loa:1", "loa:2", "phr"}[rng.IntN(4)], time.Duration(rng.IntN(600))*time.Second)
		reqs := []stepup.Requirement{{Level: levels[rng.IntN(len(levels))]}}
		for range rng.IntN(3) {
			was := allows(reqs, tok)
			reqs = append(reqs, stepup.Requirement{Level: levels[rng.IntN(len(levels))],
				MaxAge: age(time.Duration(rng.IntN(600)) * time.Second)})
			if !was && allows(reqs, tok) {
				t.Fatalf("%+v", reqs)
			}
		}
	}
}

// Exactly one challenge of well-formed quoted parameters comes out, whatever a
// policy puts in.
func FuzzFormatChallenge(f *testing.F) {
	f.Add("api", "say \"no\"\r\nset-cookie: x", "ü\x00\\")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		got := stepup.FormatChallenge("Bearer", []stepup.Param{{"realm", a}, {"error", b}, {"realm", c}, {"scope", c}})
		rest := strings.TrimPrefix(got, "Bearer")
		names := map[string]bool{}
		for rest != "" {
			name, after, ok := strings.Cut(strings.TrimLeft(rest, ", "), `="`)
			value, tail, closed := strings.Cut(after, `"`)
			if !ok || !closed || names[name] {
				t.Fatalf("malformed: %q", got)
			}
			for i := range len(value) {
				if value[i] < ' ' || value[i] > '~' || value[i] == '\\' {
					t.Fatalf("byte %x in %q", value[i], got)
				}
			}
			names[name], rest = true, tail
		}
	})
}
