package jwt_test

import (
	"errors"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/keyset"
)

// A number names the result of one verification, and nothing else in the process: otherwise
// something remembered about one caller could be used for another.
func TestSerials(t *testing.T) {
	idp, err := testidp.New(testidp.Options{Issuer: "https://idp.example.com", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyset.NewStatic("keys", idp.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	serial := func(o jwt.Options) func(raw string) token.Serial {
		v, err := jwt.NewVerifier([]jwt.Issuer{{Name: "corp", URL: idp.URL, Audiences: []string{testidp.Audience},
			Keys: keys}}, o, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		return func(raw string) token.Serial {
			got, err := v.Verify(t.Context(), request.Request{}, credential.Credential{Scheme: credential.Bearer,
				Raw: raw})
			if err != nil {
				t.Fatal(err)
			}
			return got.Serial
		}
	}
	one, two := mustMint(t, idp), mustMint(t, idp)
	first, second := serial(jwt.Options{}), serial(jwt.Options{})
	if a, again := first(one), first(one); a == (token.Serial{}) || a != again {
		t.Errorf("a token that is remembered: %v, then %v", a, again)
	}
	seen := map[token.Serial]bool{}
	for _, s := range []token.Serial{first(one), first(two), second(one), second(two)} {
		if seen[s] {
			t.Errorf("%v names two things", s)
		}
		seen[s] = true
	}
	small := serial(jwt.Options{CacheSize: 1})
	if a := small(one); small(two) == a || small(one) == a {
		t.Error("a number is used again for what was verified anew")
	}
	for name, o := range map[string]jwt.Options{
		"nothing is remembered":    {CacheSize: -1},
		"there is nothing random":  {Rand: iotest.ErrReader(errors.New("none"))},
		"what is random is nought": {Rand: zeros{}},
	} {
		if got := serial(o)(one); got != (token.Serial{}) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What the issuer says of a token may be another thing the next time.
func TestNoSerialOfWhatIsAsked(t *testing.T) {
	opaque := newAsking(t, jwt.Introspection{Prefix: "corp_"}, nil)
	if got, code := opaque.verify(opaque.idp.Opaque("corp_", nil)); code != "" || got.Serial != (token.Serial{}) {
		t.Errorf("an opaque token: %v %s", got, code)
	}
	all := newAsking(t, jwt.Introspection{All: true, Rank: func(token.Proof) int { return 1 }}, nil)
	raw := mustMint(t, all.idp)
	all.idp.Introspects(raw, map[string]any{"active": true, "token_type": "Bearer", "aud": testidp.Audience,
		"exp": now.Unix() + 300, "sub": "alice"})
	for range 2 {
		if got, code := all.verify(raw); code != "" || got.Serial != (token.Serial{}) {
			t.Errorf("a JWT that its issuer is asked about: %v %s", got, code)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func mustMint(t *testing.T, idp *testidp.IDP) string {
	t.Helper()
	raw, err := idp.Mint(testidp.Token{})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
