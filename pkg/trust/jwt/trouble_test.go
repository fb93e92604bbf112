package jwt_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/keyset"
	"github.com/stepward/stepward/pkg/trust/outbound"
	"github.com/stepward/stepward/pkg/trust/revocation"
)

// troubled is a verifier of keys that a real provider serves over TLS, with bounds as
// short as a benchmark needs.
type troubled struct {
	idp    *testidp.IDP
	keys   *keyset.Remote
	verify func(ctx context.Context, raw string) error
}

func newTroubled(b *testing.B, bounds keyset.Bounds, index *revocation.Index) troubled {
	b.Helper()
	idp, err := testidp.Start(testidp.Options{TLS: true})
	if err != nil {
		b.Fatal(err)
	}
	client := outbound.New(outbound.Config{Roots: idp.Roots(), Allow: []string{"127.0.0.1"}, Timeout: 30 * time.Second})
	fetched := make(chan keyset.Fetch, 100_000)
	keys := keyset.NewRemote(keyset.RemoteConfig{Issuer: idp.URL, JWKSURI: idp.URL + "/jwks", Client: client,
		Bounds: bounds, OnFetch: func(f keyset.Fetch) {
			select {
			case fetched <- f:
			default:
			}
		}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); keys.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done; idp.Close(); client.Close() })
	if f := <-fetched; f.Err != nil {
		b.Fatal(f.Err)
	}
	o := jwt.Options{CacheSize: -1}
	if index != nil {
		o.Revoked = index.Revoked
	}
	v, err := jwt.NewVerifier([]jwt.Issuer{{Name: "corp", URL: idp.URL, Audiences: []string{testidp.Audience},
		Keys: keys}}, o, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	return troubled{idp, keys, func(ctx context.Context, raw string) error {
		_, err := v.Verify(ctx, request.Request{}, credential.Credential{Scheme: credential.Bearer, Raw: raw})
		return err
	}}
}

// slowly answers with the keys after a while.
func (x troubled) slowly(after time.Duration) {
	x.idp.Fail(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(after): // clock: for benchmarks
			w.Header().Set("Content-Type", "application/json")
			w.Write(x.idp.JWKS())
		case <-r.Context().Done():
		}
	})
}

// BenchmarkTrouble measures the p99 of verifying a valid token, in rounds that take turns:
// while all is well, while 5,000 names of unknown keys a second come in, and while the
// provider hangs on every refresh. Compare the ratios, not the times.
func BenchmarkTrouble(b *testing.B) {
	well := newTroubled(b, keyset.Bounds{}, nil)
	flooded := newTroubled(b, keyset.Bounds{}, nil)
	hanging := newTroubled(b, keyset.Bounds{RefreshMin: time.Millisecond, RefreshMax: time.Millisecond}, nil)
	hanging.slowly(30 * time.Second)
	all := []struct {
		name string
		troubled
		raw   string
		times []time.Duration
	}{{name: "well", troubled: well}, {name: "flood", troubled: flooded}, {name: "hang", troubled: hanging}}
	for n := range all {
		var err error
		if all[n].raw, err = all[n].idp.Mint(testidp.Token{Key: "es"}); err != nil {
			b.Fatal(err)
		}
	}
	before := flooded.idp.HitsOf("/jwks")
	var minute time.Duration
	for b.Loop() {
		for n := range all {
			stop := func() {}
			if all[n].name == "flood" {
				stop = flood(b, flooded)
			}
			begin := time.Now()
			for time.Since(begin) < 200*time.Millisecond {
				at := time.Now()
				if err := all[n].verify(b.Context(), all[n].raw); err != nil {
					b.Fatal(all[n].name, err)
				}
				all[n].times = append(all[n].times, time.Since(at))
				time.Sleep(200 * time.Microsecond)
			}
			if stop(); all[n].name == "flood" {
				minute += time.Since(begin)
			}
		}
	}
	p99 := func(times []time.Duration) float64 {
		slices.Sort(times)
		return float64(times[len(times)*99/100])
	}
	base := p99(all[0].times)
	b.ReportMetric(p99(all[1].times)/base, "flood/well")
	b.ReportMetric(p99(all[2].times)/base, "hang/well")
	b.ReportMetric(float64(flooded.idp.HitsOf("/jwks")-before), "fetches")
	b.ReportMetric(minute.Seconds(), "s-of-flood")
	b.ReportMetric(b.Elapsed().Seconds(), "s-in-all")
}

// flood presents 5,000 tokens a second, each with the name of another unknown key.
func flood(b *testing.B, x troubled) (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	var all sync.WaitGroup
	payload := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"` + x.idp.URL + `"}`))
	all.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for range 50 {
				head := base64.RawURLEncoding.EncodeToString(
					fmt.Appendf(nil, `{"alg":"ES256","typ":"at+jwt","kid":"k%d"}`, floods.Add(1)))
				all.Go(func() {
					short, done := context.WithTimeout(ctx, 150*time.Millisecond)
					defer done()
					x.verify(short, head+"."+payload+".AAAA")
				})
			}
		}
	})
	return func() { cancel(); all.Wait() }
}

var floods atomic.Int64

// BenchmarkLookup measures finding a key and consulting 100,000 revocations, in rounds that
// take turns: while nothing else happens, and while a refresh is always under way.
func BenchmarkLookup(b *testing.B) {
	index := revocation.New(200_000, nil)
	for n := range 100_000 {
		if _, err := index.Revoke(revocation.Entry{Issuer: "https://idp.example.com", JTI: fmt.Sprint(n)}); err != nil {
			b.Fatal(err)
		}
	}
	quiet := newTroubled(b, keyset.Bounds{}, index)
	busy := newTroubled(b, keyset.Bounds{RefreshMin: time.Millisecond, RefreshMax: time.Millisecond}, index)
	busy.slowly(100 * time.Millisecond)
	presented := token.Token{Issuer: "https://idp.example.com", Subject: "alice", Claims: map[string]any{
		"jti": "x", "sid": "y"}}
	const batch = 20_000
	round := func(x troubled) time.Duration {
		begin := time.Now()
		for range batch {
			if _, err := x.keys.Key(context.Background(), "es", "ES256"); err != nil || x.keys.Generation() == 0 ||
				index.Revoked(presented) {
				b.Fatal(err)
			}
		}
		return time.Since(begin)
	}
	var alone, beside []time.Duration
	for b.Loop() {
		alone, beside = append(alone, round(quiet)), append(beside, round(busy))
	}
	slices.Sort(alone)
	slices.Sort(beside)
	b.ReportMetric(float64(beside[len(beside)/2])/float64(alone[len(alone)/2]), "busy/quiet")
	b.ReportMetric(float64(alone[len(alone)/2].Nanoseconds())/batch, "ns/lookup")
	b.ReportMetric(float64(busy.idp.HitsOf("/jwks")), "refreshes")
}
