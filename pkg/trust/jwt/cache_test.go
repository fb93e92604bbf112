package jwt_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/keyset"
)

// counted are keys that count how often they are asked for, and can be taken away.
type counted struct {
	*keyset.Static
	asked      atomic.Int64
	generation atomic.Uint64
	gone       atomic.Bool
}

func (k *counted) Generation() uint64 { return k.generation.Load() }

func (k *counted) Doubt(string) {}
func (k *counted) Key(ctx context.Context, kid, algorithm string) (keyset.Key, error) {
	k.asked.Add(1)
	if k.gone.Load() {
		return keyset.Key{}, keyset.ErrUnknownKey
	}
	return k.Static.Key(ctx, kid, algorithm)
}

// remembering is a verifier with a clock and keys to play with.
type remembering struct {
	idp    *testidp.IDP
	keys   *counted
	now    time.Time
	verify func(raw string) token.Code
}

func newRemembering(t *testing.T, size int) *remembering {
	t.Helper()
	r := &remembering{now: now, keys: &counted{}}
	r.keys.generation.Store(1)
	var err error
	if r.idp, err = testidp.Start(testidp.Options{Now: func() time.Time { return now }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.idp.Close)
	if r.keys.Static, err = keyset.NewStatic("keys", r.idp.JWKS()); err != nil {
		t.Fatal(err)
	}
	v, err := jwt.NewVerifier([]jwt.Issuer{{Name: "corp", URL: r.idp.URL, Audiences: []string{testidp.Audience},
		Keys: r.keys}}, jwt.Options{CacheSize: size}, func() time.Time { return r.now })
	if err != nil {
		t.Fatal(err)
	}
	r.verify = func(raw string) token.Code {
		got, err := v.Verify(context.Background(), request.Request{}, credential.Credential{Scheme: credential.Bearer,
			Raw: raw})
		var failed *token.Error
		if errors.As(err, &failed) {
			return failed.Code
		}
		if got == nil || got.Subject == "" {
			t.Fatal("neither a token nor an error")
		}
		return ""
	}
	return r
}

func (r *remembering) mint(t *testing.T, tok testidp.Token) string {
	t.Helper()
	s, err := r.idp.Mint(tok)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A token that was good is not verified again, and is not good for a second longer
// than it says, nor under other keys.
func TestRememberedToken(t *testing.T) {
	r := newRemembering(t, 0)
	raw := r.mint(t, claims("exp", now.Unix()+60))
	for range 3 {
		if code := r.verify(raw); code != "" {
			t.Fatal(code)
		}
	}
	if n := r.keys.asked.Load(); n != 1 {
		t.Errorf("verified %d times", n)
	}
	r.now = now.Add(59 * time.Second)
	if code := r.verify(raw); code != "" {
		t.Errorf("a second before exp: %s", code)
	}
	r.now = now.Add(60 * time.Second)
	if code := r.verify(raw); code != token.Expired {
		t.Errorf("at exp: %q", code)
	}
	r.now = now
	r.keys.gone.Store(true)
	r.keys.generation.Add(1)
	if code := r.verify(raw); code != token.UnknownKey {
		t.Errorf("its key is gone: %q", code)
	}
	r.keys.gone.Store(false)
	if code := r.verify(raw); code != "" {
		t.Errorf("its key is back: %q", code)
	}
}

// What is one bit away from a token that is remembered is another token.
func TestRememberedIsExact(t *testing.T) {
	r := newRemembering(t, 0)
	raw := r.mint(t, testidp.Token{})
	if code := r.verify(raw); code != "" {
		t.Fatal(code)
	}
	for i := range raw {
		b := []byte(raw)
		b[i] ^= 1
		if code := r.verify(string(b)); code == "" {
			t.Fatalf("byte %d changed is accepted", i)
		}
	}
	for _, other := range []string{raw + ".", raw + "=", " " + raw, raw + "\n", raw[:len(raw)-1]} {
		if code := r.verify(other); code == "" {
			t.Errorf("%q is accepted", other)
		}
	}
}

// A refusal is remembered for a while, where it cannot become another by itself.
func TestRememberedRefusal(t *testing.T) {
	r := newRemembering(t, 0)
	forged := r.mint(t, testidp.Token{Key: "rogue", Header: map[string]any{"kid": "es"}})
	for range 100 {
		if code := r.verify(forged); code != token.BadSignature {
			t.Fatal(code)
		}
	}
	if n := r.keys.asked.Load(); n != 1 {
		t.Errorf("a bad token was looked at %d times", n)
	}
	r.keys.generation.Add(1)
	r.verify(forged)
	if n := r.keys.asked.Load(); n != 2 {
		t.Errorf("new keys, and the refusal stands (%d)", n)
	}
	r.now = now.Add(11 * time.Second)
	r.verify(forged)
	if n := r.keys.asked.Load(); n != 3 {
		t.Errorf("the refusal is remembered too long (%d)", n)
	}
	r.now = now
	early := r.mint(t, claims("nbf", now.Unix()+40))
	if code := r.verify(early); code != token.NotYetValid {
		t.Errorf("early: %q", code)
	}
	r.now = now.Add(41 * time.Second)
	if code := r.verify(early); code != "" {
		t.Errorf("its time has come: %q", code)
	}
	r.keys.gone.Store(true)
	unknown := r.mint(t, claims("jti", "unknown"))
	if code := r.verify(unknown); code != token.UnknownKey {
		t.Errorf("unknown key: %q", code)
	}
	r.keys.gone.Store(false)
	if code := r.verify(unknown); code != "" {
		t.Errorf("the key is there now: %q", code)
	}
}

// A flood of bad tokens drives no good one out, and neither kind grows without bound.
func TestRememberedIsBounded(t *testing.T) {
	r := newRemembering(t, 2)
	good := r.mint(t, testidp.Token{})
	r.verify(good)
	for i := range 10_000 {
		r.verify("a.b." + string(rune('a'+i%26)) + time.Duration(i).String())
	}
	asked := r.keys.asked.Load()
	if r.verify(good); r.keys.asked.Load() != asked {
		t.Error("bad tokens have driven a good one out")
	}
	for _, jti := range []string{"1", "2"} {
		r.verify(r.mint(t, claims("jti", jti)))
	}
	asked = r.keys.asked.Load()
	if r.verify(good); r.keys.asked.Load() != asked+1 {
		t.Error("more is remembered than there is room for")
	}
	off := newRemembering(t, -1)
	raw := off.mint(t, testidp.Token{})
	off.verify(raw)
	if off.verify(raw); off.keys.asked.Load() != 2 {
		t.Error("a cache that is off remembers")
	}
}
