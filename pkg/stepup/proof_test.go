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

// signedIn is a proof that shows acr, by a password and a code, of so long ago.
func signedIn(acr string, ago time.Duration, methods ...string) token.Proof {
	return token.Proof{ACR: acr, AMR: methods, At: now.Truncate(time.Second).Add(-ago)}
}

func holding(proofs ...token.Proof) *token.Token {
	return with(user("", 0), func(t *token.Token) { t.Proofs = proofs })
}

// What several proofs are worth together, and what is missing if no single one will do.
func TestProofs(t *testing.T) {
	old, fresh := time.Hour, 10*time.Second
	five := age(5 * time.Minute)
	for name, v := range map[string]struct {
		reqs    []stepup.Requirement
		token   *token.Token
		want    stepup.Reason
		missing string
	}{
		"one proof meets it": {[]stepup.Requirement{{Level: "mfa", MaxAge: five}},
			holding(signedIn("loa:1", old), signedIn("loa:2", fresh)), "ok", ""},
		"level of one, age of another": {[]stepup.Requirement{{Level: "mfa", MaxAge: five}},
			holding(signedIn("loa:2", old), signedIn("loa:1", fresh)), "stale_authentication", "age"},
		"the same, the other way round": {[]stepup.Requirement{{Level: "mfa", MaxAge: five}},
			holding(signedIn("loa:1", fresh), signedIn("loa:2", old)), "stale_authentication", "age"},
		"acr of one, age of another": {[]stepup.Requirement{{ACR: []string{"loa:2"}, MaxAge: five}},
			holding(signedIn("loa:2", old), signedIn("phr", fresh)), "stale_authentication", "age"},
		"a stronger proof is fresh": {[]stepup.Requirement{{Level: "mfa", MaxAge: five}},
			holding(signedIn("loa:2", old), signedIn("phr", fresh)), "ok", ""},
		"methods of another proof": {[]stepup.Requirement{{Level: "mfa", AMR: []string{"hwk"}}},
			holding(signedIn("loa:2", fresh, "otp"), signedIn("loa:1", fresh, "hwk")), "insufficient_methods",
			"methods"},
		"the right methods, long ago": {[]stepup.Requirement{{Level: "mfa", AMR: []string{"hwk"}, MaxAge: five}},
			holding(signedIn("loa:2", fresh, "otp"), signedIn("loa:2", old, "hwk")), "stale_authentication", "age"},
		"two rules, a proof for each": {[]stepup.Requirement{{Level: "mfa"}, {MaxAge: five}},
			holding(signedIn("loa:2", old), signedIn("loa:1", fresh)), "ok", ""},
		"two rules, one of them unmet": {
			[]stepup.Requirement{{Level: "mfa"}, {Level: "password", MaxAge: age(time.Second)}},
			holding(signedIn("loa:2", old), signedIn("loa:1", fresh)), "stale_authentication", "age"},
		"nothing shows the level": {[]stepup.Requirement{{Level: "mfa", MaxAge: five}},
			holding(signedIn("loa:1", old), signedIn("", fresh)), "insufficient_level", "level"},
		"neither level nor age": {[]stepup.Requirement{{Level: "mfa", MaxAge: five}},
			holding(signedIn("loa:1", old), signedIn("", old)), "insufficient_level", "level age"},
		"an unknown time": {[]stepup.Requirement{{Level: "mfa", MaxAge: five}},
			holding(token.Proof{ACR: "loa:2"}, signedIn("loa:1", fresh)), "stale_authentication", "age"},
		"no proof at all": {[]stepup.Requirement{{Level: "authenticated"}}, holding(), "insufficient_level",
			"level"},
	} {
		t.Run(name, func(t *testing.T) {
			s := stepup.Assess(v.reqs, ladder(t), v.token, now)
			d := stepup.Decide(stepup.Case{Shortfall: s, Token: v.token, Presented: true})
			if _, allowed := d.(stepup.Allow); d.Reason() != v.want || allowed != (v.want == "ok") {
				t.Errorf("%T %s; want %s", d, d.Reason(), v.want)
			}
			var missing []string
			for _, p := range s.Missing() {
				missing = append(missing, string(p))
			}
			if got := strings.Join(missing, " "); got != v.missing {
				t.Errorf("missing %q; want %q", got, v.missing)
			}
		})
	}
}

// Of a session a max_age of zero takes a proof that is spent, and every other age does not.
func TestOnce(t *testing.T) {
	spent := signedIn("loa:2", 10*time.Second)
	spent.Once = true
	late := signedIn("loa:2", 61*time.Second)
	late.Once = true
	weak := signedIn("loa:1", 10*time.Second)
	weak.Once = true
	kept := signedIn("loa:2", 10*time.Second)
	for name, v := range map[string]struct {
		scheme credential.Scheme
		limit  time.Duration
		proofs []token.Proof
		want   stepup.Reason
	}{
		"a spent proof":             {credential.Session, 0, []token.Proof{kept, spent}, "ok"},
		"a recent proof":            {credential.Session, 0, []token.Proof{kept}, "stale_authentication"},
		"spent too late":            {credential.Session, 0, []token.Proof{late}, "stale_authentication"},
		"a weak proof is spent":     {credential.Session, 0, []token.Proof{kept, weak}, "stale_authentication"},
		"another age needs no such": {credential.Session, time.Minute, []token.Proof{kept}, "ok"},
		"a bearer token has none":   {credential.Bearer, 0, []token.Proof{kept}, "ok"},
	} {
		tok := holding(v.proofs...)
		tok.Scheme = v.scheme
		s := stepup.Assess([]stepup.Requirement{{Level: "mfa", MaxAge: age(v.limit)}}, ladder(t), tok, now)
		if d := stepup.Decide(stepup.Case{Shortfall: s, Token: tok, Presented: true}); d.Reason() != v.want {
			t.Errorf("%s: %s; want %s", name, d.Reason(), v.want)
		}
	}
}

func TestStrongestFirst(t *testing.T) {
	weak, strong, newer := signedIn("loa:1", 0), signedIn("phr", time.Hour), signedIn("phrh", time.Minute)
	tok := holding(weak, strong, newer)
	got := ladder(t).StrongestFirst(tok)
	if p := got.Strongest(); p.ACR != "phrh" || got.Proofs[2].ACR != "loa:1" || len(got.Proofs) != 3 {
		t.Errorf("%+v", got.Proofs)
	}
	if tok.Strongest().ACR != "loa:1" {
		t.Error("the token that was given is changed")
	}
	s := stepup.Assess([]stepup.Requirement{{Level: "mfa"}}, ladder(t), tok, now)
	if d, ok := s.Age.Get(); !ok || d != time.Minute || ladder(t).Highest(*tok) != "phishing-resistant" {
		t.Errorf("age %v %v beside level %s", d, ok, ladder(t).Highest(*tok))
	}
	if l := ladder(t); len(l.Proven(token.Token{})) != 0 || l.Highest(token.Token{}) != stepup.Anonymous {
		t.Error("a token without a proof proves something")
	}
}

// ranks of what the ladder of these tests orders, written down once more.
var ranks = map[string]int{"": 1, "x": 1, "loa:1": 2, "loa:2": 3, "loa:2b": 3, "phr": 4, "phrh": 4,
	"authenticated": 1, "password": 2, "mfa": 3, "phishing-resistant": 4, "unheard-of": 5}

// judged is the rule as it is meant, on plain values: let in if each requirement is met by
// some one proof. apart is the mistake that it guards against, where each part may be
// met by another proof.
func judged(reqs []stepup.Requirement, proofs []token.Proof) (together, apart bool) {
	together, apart = true, true
	for _, r := range reqs {
		one, level, recent, methods := false, false, false, false
		for _, p := range proofs {
			l := ranks[p.ACR] >= ranks[r.Level]
			if r.ACR != nil {
				l = p.ACR != "" && slices.Contains(r.ACR, p.ACR)
			}
			limit, limited := r.MaxAge.Get()
			if limited && limit.Seconds() == 0 {
				limit = time.Minute
			}
			a := !limited || !p.At.IsZero() && now.Unix()-p.At.Unix() <= int64(limit/time.Second) // clock: both times are fixed
			m := true
			for _, method := range r.AMR {
				m = m && slices.Contains(p.AMR, method)
			}
			one = one || l && a && m
			level, recent, methods = level || l, recent || a, methods || m
		}
		together, apart = together && one, apart && level && recent && methods
	}
	return together, apart
}

// choose makes requirements and proofs of the numbers that next draws.
func choose(next func(n int) int) ([]stepup.Requirement, []token.Proof) {
	acrs := []string{"", "x", "loa:1", "loa:2", "loa:2b", "phr", "phrh"}
	levels := []string{"authenticated", "password", "mfa", "phishing-resistant", "unheard-of"}
	some := func() (methods []string) {
		for _, m := range []string{"pwd", "otp", "hwk"} {
			if next(3) == 0 {
				methods = append(methods, m)
			}
		}
		return methods
	}
	var reqs []stepup.Requirement
	for range 1 + next(2) {
		r := stepup.Requirement{Level: levels[next(12)%5]}
		if next(4) == 0 {
			r.Level, r.ACR = "", []string{acrs[1+next(6)], acrs[1+next(6)]}
		}
		if next(3) > 0 {
			r.MaxAge = age(time.Duration(next(5)) * 50 * time.Second)
		}
		if next(3) == 0 {
			r.AMR = some()
		}
		reqs = append(reqs, r)
	}
	var proofs []token.Proof
	for range next(5) {
		p := signedIn(acrs[next(len(acrs))], time.Duration(next(300)-10)*time.Second, some()...)
		if next(10) == 0 {
			p.At = time.Time{}
		}
		proofs = append(proofs, p)
	}
	return reqs, proofs
}

// checkProofs holds Assess and Decide against the rule, and reports what the rule says
// and what it would say of parts apart.
func checkProofs(t *testing.T, l stepup.Ladder, next func(n int) int) (together, apart bool) {
	t.Helper()
	reqs, proofs := choose(next)
	together, apart = judged(reqs, proofs)
	for range 2 { // the order of proofs means nothing
		tok := holding(proofs...)
		s := stepup.Assess(reqs, l, tok, now)
		d := stepup.Decide(stepup.Case{Shortfall: s, Token: tok, Presented: true})
		if _, allowed := d.(stepup.Allow); allowed != together || (len(s.Unmet) == 0) != together {
			t.Fatalf("%+v of %+v: %T %s; by the rule %v", reqs, proofs, d, d.Reason(), together)
		}
		slices.Reverse(proofs)
	}
	return together, apart
}

// A request is let in if and only if each requirement is met by some one proof.
func TestEachRequirementIsMetByOneProof(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	l := ladder(t)
	var allowed, refused, mixed int
	for range 30_000 {
		switch together, apart := checkProofs(t, l, rng.IntN); {
		case together:
			allowed++
		case apart:
			mixed++
		default:
			refused++
		}
	}
	if allowed < 1000 || refused < 1000 || mixed < 500 {
		t.Fatalf("too few cases of a kind: %d allowed, %d refused, %d met by several proofs together", allowed, refused,
			mixed)
	}
}

func FuzzProofs(f *testing.F) {
	// mfa within 50 s: one proof shows mfa long ago, the other a password just now.
	f.Add([]byte{0, 2, 1, 1, 1, 1, 2, 3, 250, 1, 1, 1, 1, 2, 10, 1, 1, 1, 1})
	f.Add([]byte{})
	l := ladder(f)
	f.Fuzz(func(t *testing.T, choices []byte) {
		checkProofs(t, l, func(n int) int {
			if len(choices) == 0 {
				return 0
			}
			c := int(choices[0])
			choices = choices[1:]
			return c % n
		})
	})
}
