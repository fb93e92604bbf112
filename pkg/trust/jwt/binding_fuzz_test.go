package jwt_test

import (
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/credential"
)

// Whatever the proof, none is accepted that is not by the key of the token.
func FuzzProof(f *testing.F) {
	d, h := newDoor(f, nil), newHolder(f)
	raw := d.mint(f, claims("cnf", map[string]any{"jkt": h.thum}))
	good := h.prove(f, raw, nil)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add("a.b.c")
	d.present(credential.DPoP, raw, good, "")
	f.Fuzz(func(t *testing.T, proof string) {
		if _, code, _ := d.present(credential.DPoP, raw, proof, ""); code == "" {
			t.Fatalf("%q is accepted", proof)
		}
	})
}

// Whatever the proxy reports of a certificate, none but the right one fits.
func FuzzCertificate(f *testing.F) {
	d := newDoor(f, nil)
	raw := d.mint(f, claims("cnf", map[string]any{"x5t#S256": rfc8705Thumbprint}))
	f.Add(rfc8705Certificate)
	f.Add("-----BEGIN CERTIFICATE-----%0AAAAA%0A-----END CERTIFICATE-----%0A")
	f.Add("%")
	f.Fuzz(func(t *testing.T, certificate string) {
		if _, code, _ := d.present(credential.Bearer, raw, "", certificate); code == "" && !strings.Contains(
			strings.ReplaceAll(certificate, "%0A", "\n"), "MIIBBjCBrAIBAjAK") {
			t.Fatalf("%q is accepted", certificate)
		}
	})
}
