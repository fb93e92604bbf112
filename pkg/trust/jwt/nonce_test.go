package jwt_test

import (
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/jwt"
)

// DP-05: a nonce of any replica with the same keys is good for a while.
func TestDPoPNonce(t *testing.T) {
	key, rotated := make([]byte, 32), make([]byte, 32)
	rotated[0] = 1
	nonces, err := jwt.NewNonces([][]byte{key})
	if err != nil {
		t.Fatal(err)
	}
	newer, err := jwt.NewNonces([][]byte{rotated, key})
	if err != nil {
		t.Fatal(err)
	}
	d, h := newDoor(t, func(p *jwt.DPoP) { p.Nonces = newer }), newHolder(t)
	raw := d.mint(t, claims("cnf", map[string]any{"jkt": h.thum}))
	_, code, failed := d.present(credential.DPoP, raw, h.prove(t, raw, nil), "")
	if code != token.DPoPNonce || failed.Nonce == "" {
		t.Fatalf("without one: %q %+v", code, failed)
	}
	for name, v := range map[string]struct {
		nonce string
		want  token.Code
	}{
		"the one that was sent":    {failed.Nonce, ""},
		"another replica's":        {nonces.Issue(now.Add(-time.Minute)), ""},
		"one that is too old":      {nonces.Issue(now.Add(-6 * time.Minute)), token.DPoPNonce},
		"one of the future":        {nonces.Issue(now.Add(time.Hour)), token.DPoPNonce},
		"one that was made up":     {"AAAAAGtJ0gAAAAAAAAAAAAAAAAAAAAAA", token.DPoPNonce},
		"one that is no base64url": {"+", token.DPoPNonce},
	} {
		if _, code, _ := d.present(credential.DPoP, raw, h.prove(t, raw, map[string]any{".nonce": v.nonce}),
			""); code != v.want {
			t.Errorf("%s: %q; want %q", name, code, v.want)
		}
	}
	if _, err := jwt.NewNonces([][]byte{key[:16]}); err == nil {
		t.Error("a short key is taken")
	}
	if _, err := jwt.NewNonces(nil); err == nil {
		t.Error("no key is taken")
	}
}
