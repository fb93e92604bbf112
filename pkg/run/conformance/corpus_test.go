package conformance

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stepward/stepward/envoy"
)

// The corpus of bad tokens, through the real Envoy: none reaches the upstream, and all
// that are refused for what they are get one and the same answer.
func TestCorpusThroughEnvoy(t *testing.T) {
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	rig, err := NewRig(s)
	if err != nil {
		t.Fatal(err)
	}
	defer rig.Close()
	path, err := envoy.Get(t.Context(), "", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	d, err := ThroughEnvoy(rig, path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	good, bad, err := rig.idp.Corpus()
	if err != nil {
		t.Fatal(err)
	}
	send := func(raw string) Outcome {
		o, err := d.Do(t.Context(), Case{ID: "corpus", Request: Request{Target: "/orders", Token: &Token{Raw: raw}}},
			true)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	if o := send(good); !o.Allowed {
		t.Fatalf("the good one: %+v", o)
	}
	answers, sent := map[string]string{}, 0
	for i, b := range bad {
		if b.Raw == "" || strings.ContainsAny(b.Raw, "\r\n\x00") || strings.TrimSpace(b.Raw) != b.Raw ||
			b.Class == "J22" && i%7 != 0 {
			continue // another request on the wire; or one of very many alike
		}
		if strings.HasSuffix(b.Name, " in 31 s") || strings.HasSuffix(b.Name, " in 60 s") {
			continue // the time comes while this test runs
		}
		o := send(b.Raw)
		sent++
		if o.Upstream != nil || o.Allowed {
			t.Fatalf("%s %s reaches the upstream", b.Class, b.Name)
		}
		if o.Status != 400 && o.Status != 401 && o.Status != 431 {
			t.Errorf("%s %s: %d %s", b.Class, b.Name, o.Status, o.Reason)
		}
		if !o.Asked {
			continue
		}
		if b.Code != "" && o.Reason != b.Code && o.Reason != "credential_malformed" &&
			o.Reason != "credential_repeated" {
			t.Errorf("%s %s: %s; want %s", b.Class, b.Name, o.Reason, b.Code)
		}
		if o.Status == 401 {
			kind := "invalid_token"
			if o.Reason == "token_expired" {
				kind = o.Reason
			}
			answer := fmt.Sprint(o.Status, len(o.Body), o.Headers.Values("www-authenticate"),
				o.Headers.Values("content-type"), o.Headers.Values("cache-control"), len(o.Headers))
			if was, known := answers[kind]; known && was != answer {
				t.Errorf("%s %s is answered otherwise than the others: %s; %s", b.Class, b.Name, answer, was)
			}
			answers[kind] = answer
		}
	}
	if o := send(good); !o.Allowed {
		t.Errorf("the good one, afterwards: %+v", o)
	}
	if sent < 1_500 || len(answers) != 2 {
		t.Errorf("%d sent, %d kinds of answer", sent, len(answers))
	}
	t.Logf("%d bad tokens through Envoy, %d kinds of answer", sent, len(answers))
}
