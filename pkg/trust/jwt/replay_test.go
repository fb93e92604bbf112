package jwt_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/introspection"
	"github.com/stepward/stepward/pkg/trust/jwt"
)

// A restart forgets which proofs were used. A proof that may be among them needs a nonce
// of the new process, which no proof of before can hold.
func TestProofsOfBeforeARestart(t *testing.T) {
	key := make([]byte, 32)
	own, err := jwt.NewNonces([][]byte{key})
	if err != nil {
		t.Fatal(err)
	}
	shared, err := jwt.NewNonces([][]byte{append([]byte{1}, key[1:]...)})
	if err != nil {
		t.Fatal(err)
	}
	for name, terms := range map[string]struct{ always, early *jwt.Nonces }{
		"nonces off": {nil, own}, "nonces required": {shared, nil}, "no nonces at all": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var clock *door
			d, h := newDoor(t, func(p *jwt.DPoP) {
				p.Nonces, p.Early = terms.always, terms.early
				// the process begins now
				p.Replays = jwt.NewMemoryReplays(100, func() time.Time { return clock.time() })
			}), newHolder(t)
			clock = d
			raw := d.mint(t, claims("cnf", map[string]any{"jkt": h.thum}))
			old := map[string]any{}
			if terms.always != nil {
				old[".nonce"] = terms.always.Issue(now.Add(-time.Second)) // as the process before gave it
			}
			for ahead := -60; ahead <= 5; ahead += 5 { // a client's clock may be ahead by the leeway, 5 s
				old[".iat"] = now.Unix() + int64(ahead)
				for _, later := range []time.Duration{0, time.Second, 10 * time.Second} {
					d.now = now.Add(later)
					if _, code, _ := d.present(credential.DPoP, raw, h.prove(t, raw, old), ""); code == "" {
						t.Fatalf("a proof with iat %+d s, presented after %s, may have been used before", ahead, later)
					}
				}
			}
			d.now = now.Add(time.Second)
			_, code, failed := d.present(credential.DPoP, raw, h.prove(t, raw, map[string]any{".iat": d.now.Unix()}),
				"")
			if terms.always == nil && terms.early == nil {
				if code != token.DPoPProof {
					t.Errorf("%q", code)
				}
			} else if code != token.DPoPNonce || failed.Nonce == "" {
				t.Fatalf("a client is not told how to go on: %q", code)
			} else if _, code, err := d.present(credential.DPoP, raw,
				h.prove(t, raw, map[string]any{".iat": d.now.Unix(), ".nonce": failed.Nonce}), ""); code != "" {
				t.Errorf("with the nonce that was sent: %q, %v", code, err)
			}
			d.now = now.Add(6 * time.Second)
			late := map[string]any{".iat": d.now.Unix()}
			if terms.always != nil {
				late[".nonce"] = terms.always.Issue(d.now)
			}
			proof := h.prove(t, raw, late)
			if _, code, err := d.present(credential.DPoP, raw, proof, ""); code != "" {
				t.Errorf("a proof that is younger than the process: %q, %v", code, err)
			}
			if _, code, _ := d.present(credential.DPoP, raw, proof, ""); code != token.DPoPProof {
				t.Errorf("the same once more: %q", code)
			}
		})
	}
}

func (d *door) time() time.Time {
	if d == nil {
		return now
	}
	return d.now
}

// Whatever the times of use, the windows and the restarts of a generation: a key that was
// used is never new again, unless Since says that its use may be forgotten.
func FuzzReplays(f *testing.F) {
	for seed := range uint64(100) {
		f.Add(seed, uint8(200), uint8(seed%20))
	}
	f.Fuzz(func(t *testing.T, seed uint64, steps, back uint8) {
		r := rand.New(rand.NewPCG(seed, 1))
		at := now
		m := jwt.NewMemoryReplays(1_000, func() time.Time { return at })
		used := map[uint64]time.Time{}
		for step := range int(steps) {
			at = at.Add(time.Duration(r.IntN([]int{10, 40, 150}[r.IntN(3)])) * time.Second)
			if back > 0 && r.IntN(int(back)) == 0 { // somebody sets the clock back
				at = at.Add(-time.Duration(r.IntN(1000)) * time.Second)
			}
			longest := 1 + step*3/int(steps) // windows grow over the reloads, and shrink now and then
			keep := []time.Duration{time.Minute, 90 * time.Second, 5 * time.Minute}[r.IntN(longest)]
			n := r.Uint64N(20)
			var key [sha256.Size]byte
			binary.BigEndian.PutUint64(key[:], n)
			since := m.Since()
			first, err := m.First(t.Context(), key, keep)
			if err != nil {
				t.Fatal(err)
			}
			if before, was := used[n]; was && first && before.After(since) && at.Sub(before) < keep {
				t.Fatalf("a use of %s ago is forgotten within %s, and Since says %s ago", at.Sub(before), keep,
					at.Sub(since))
			}
			if first {
				used[n] = at
			}
		}
	})
}

// A token that its issuer calls a DPoP token is no bearer token, whether or not the issuer
// says by which key it is bound.
func TestDPoPTokensWithoutAKey(t *testing.T) {
	r := newRig(t, jwt.Keycloak)
	tok := func(typ any, cnf any) testidp.Token {
		c := claims("azp", "web", "typ", typ, "cnf", cnf)
		c.Header = map[string]any{"typ": "JWT"}
		return c
	}
	if _, err := r.verify(r.mint(t, tok("Bearer", nil))); err != nil {
		t.Error(err)
	}
	if _, err := r.verify(r.mint(t, tok("DPoP", nil))); err == nil {
		t.Error("a JWT of typ DPoP without cnf is a bearer token")
	}
	for _, all := range []bool{false, true} {
		a := newAsking(t, jwt.Introspection{All: all}, func(i *jwt.Issuer, _ *introspection.Config) {})
		for name, x := range map[string]struct {
			changes map[string]any
			want    token.Code
		}{
			"Bearer":          {nil, ""},
			"token_type DPoP": {map[string]any{"token_type": "DPoP"}, token.BadBinding},
			"token_type dpop": {map[string]any{"token_type": "dpop"}, token.BadBinding},
			"Keycloak's typ":  {map[string]any{"typ": "DPoP"}, token.BadBinding},
			"cnf is null": {map[string]any{"token_type": "DPoP", "cnf": json.RawMessage("null")},
				token.BadBinding},
			"bound to a certificate, not a key": {
				map[string]any{"token_type": "DPoP", "cnf": map[string]any{"x5t#S256": rfc8705Thumbprint}},
				token.BadBinding},
			"bound to a key, presented as it is": {
				map[string]any{"token_type": "DPoP", "cnf": map[string]any{"jkt": rfc9449Thumbprint}},
				token.BadBinding},
		} {
			raw := a.idp.Opaque("", x.changes)
			if all {
				raw = r.mintOf(t, a.idp)
				answer := map[string]any{"active": true, "token_type": "Bearer", "aud": testidp.Audience,
					"exp": now.Unix() + 300, "sub": "alice", "iss": a.idp.URL}
				for k, v := range x.changes {
					answer[k] = v
				}
				a.idp.Introspects(raw, answer)
			}
			if _, code := a.verify(raw); code != x.want {
				t.Errorf("every token asked about %t, %s: %q; want %q", all, name, code, x.want)
			}
		}
	}
}

// mintOf returns a good token of another provider.
func (rig) mintOf(t *testing.T, idp *testidp.IDP) string {
	t.Helper()
	raw, err := idp.Mint(testidp.Token{})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
