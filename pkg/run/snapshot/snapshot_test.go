package snapshot

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/config"
)

// A proof that was used stays used when the configuration is read again, also when the
// issuer gets another name.
func TestReplaysOutliveAReload(t *testing.T) {
	c, err := config.Parse("stepward.yaml", []byte(`
issuers: [{ name: corp, issuer: "https://idp.example.com", audiences: [x], dpop: { origins: ["https://api.example.com"] } }]
levels: [{ name: mfa, acr: ["2"] }, { name: phishing-resistant, acr: [phr] }]
policy: { default: true }
`), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := New(t.Context(), c, Options{Observe: Unobserved})
	if err != nil {
		t.Fatal(err)
	}
	c.Issuers[0].Name = "renamed"
	second, err := New(t.Context(), c, Options{Observe: Unobserved, Previous: first})
	if err != nil {
		t.Fatal(err)
	}
	key := sha256.Sum256([]byte("a proof"))
	if ok, err := first.replays["https://idp.example.com"].First(t.Context(), key, time.Minute); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if ok, err := second.replays["https://idp.example.com"].First(t.Context(), key, time.Minute); ok || err != nil {
		t.Error("a reload has made a used proof good again")
	}
}
