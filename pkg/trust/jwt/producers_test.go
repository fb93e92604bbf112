package jwt_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/keyset"
)

// produced is what a library of others has made.
type produced struct {
	Keys   []json.RawMessage
	Tokens []struct{ Producer, Alg, Profile, Token string }
	Proofs []struct{ Producer, Alg, Token, Proof string }
}

// produce runs the makers of testdata/producers, which `make producers` installs.
func produce(t *testing.T) produced {
	t.Helper()
	if testing.Short() {
		t.Skip("libraries of Node and Python that make tokens: make test-all")
	}
	dir, err := filepath.Abs("../../../.tools/producers")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".made")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v; `make producers` installs them", err)
		}
		t.Skip("`make producers` installs the libraries that this test wants")
	}
	at := strconv.FormatInt(now.Unix(), 10)
	var all produced
	for _, args := range [][]string{
		{"node", "make.mjs", at, testidp.Audience, "https://api.example.com/orders/1"},
		{filepath.Join(dir, "venv/bin/python"), "make.py", at, testidp.Audience},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var one produced
		if err := json.Unmarshal(out, &one); err != nil {
			t.Fatal(err)
		}
		all.Keys, all.Tokens, all.Proofs = append(all.Keys, one.Keys...), append(all.Tokens, one.Tokens...),
			append(all.Proofs, one.Proofs...)
	}
	return all
}

// Tokens and proofs that other libraries made are accepted, for every algorithm and
// profile, and are refused if one letter differs.
func TestIndependentProducers(t *testing.T) {
	all := produce(t)
	set, err := json.Marshal(map[string]any{"keys": all.Keys})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyset.NewStatic("produced", set)
	if err != nil {
		t.Fatal(err)
	}
	var issuers []jwt.Issuer
	for _, profile := range []jwt.Profile{jwt.RFC9068, jwt.Keycloak, jwt.Entra, jwt.Generic} {
		issuers = append(issuers, jwt.Issuer{
			Name: string(profile), URL: "https://" + string(profile) + ".example.com", Audiences: []string{
				testidp.Audience}, Profile: profile, Keys: keys,
			Algorithms: []string{"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
				"EdDSA"},
			DPoP: &jwt.DPoP{Origins: []string{"https://api.example.com"}, Replays: jwt.NewMemoryReplays(
				100, func() time.Time { return now.Add(-time.Hour) })},
		})
	}
	v, err := jwt.NewVerifier(issuers, jwt.Options{}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	verify := func(scheme credential.Scheme, raw, proof string) (*token.Token, error) {
		return v.Verify(context.Background(), request.Request{Method: "GET", Host: "api.example.com",
			RawPath: "/orders/1"},
			credential.Credential{Scheme: scheme, Raw: raw, Proof: proof})
	}
	for _, x := range all.Tokens {
		name := x.Producer + " " + x.Alg + " " + x.Profile
		got, err := verify(credential.Bearer, x.Token, "")
		if err != nil || got.Subject != "alice" || got.Strongest().ACR != "2" || got.IssuerName != x.Profile ||
			!got.Strongest().At.Equal(now.Add(-10*time.Second)) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		for i := 0; i < len(x.Token); i += 17 {
			mutant := []byte(x.Token)
			mutant[i] = "AB"[map[bool]int{true: 1}[mutant[i] == 'A']]
			if string(mutant) == x.Token {
				continue
			}
			if _, err := verify(credential.Bearer, string(mutant), ""); err == nil {
				t.Errorf("%s: accepted with byte %d changed", name, i)
			}
		}
	}
	for _, x := range all.Proofs {
		name := x.Producer + " " + x.Alg
		bent := strings.Replace(x.Proof, ".", ".e30", 1)
		if _, err := verify(credential.DPoP, x.Token, bent); err == nil {
			t.Errorf("%s: a bent proof is accepted", name)
		}
		if got, err := verify(credential.DPoP, x.Token, x.Proof); err != nil || !got.SenderConstrained {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if _, err := verify(credential.DPoP, x.Token, x.Proof); err == nil {
			t.Errorf("%s: a proof is accepted twice", name)
		}
		if _, err := verify(credential.Bearer, x.Token, ""); err == nil {
			t.Errorf("%s: a bound token is a bearer token", name)
		}
	}
	if len(all.Tokens) < 80 || len(all.Proofs) < 2 {
		t.Errorf("%d tokens, %d proofs", len(all.Tokens), len(all.Proofs))
	}
}
