package statuslist_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/keyset"
	"github.com/stepward/stepward/pkg/trust/outbound"
	"github.com/stepward/stepward/pkg/trust/statuslist"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a provider that publishes lists, and who reads them.
type rig struct {
	idp   *testidp.IDP
	lists *statuslist.Lists
	clock *atomic.Int64
}

func open(t *testing.T) rig {
	t.Helper()
	idp, err := testidp.Start(testidp.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(idp.Close)
	keys, err := keyset.NewStatic("keys", idp.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	clock, begin := &atomic.Int64{}, time.Now()
	now := func() time.Time { return begin.Add(time.Duration(clock.Load())) }
	signed := jwt.NewSigned(jwt.Issuer{Name: "corp", URL: idp.URL, Keys: keys}, now)
	client := outbound.New(outbound.Config{Roots: idp.Roots(), Allow: []string{"127.0.0.1"}, Timeout: wait.Bound})
	t.Cleanup(client.Close)
	return rig{idp, statuslist.New(statuslist.Config{
		Client: client, Hosts: []string{"127.0.0.1"}, Now: now,
		Verify: func(ctx context.Context, raw string) (map[string]any, error) {
			return signed.Claims(ctx, raw, statuslist.Type)
		},
	}), clock}
}

func (r rig) publish(t *testing.T, revoked []int, changes map[string]any) string {
	t.Helper()
	uri, err := r.idp.StatusList("/statuslists/1", 100, revoked, changes)
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

func TestValid(t *testing.T) {
	r := open(t)
	uri := r.publish(t, []int{0, 9, 99}, nil)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { r.lists.Valid(t.Context(), statuslist.Reference{URI: uri, Index: 1}) })
	}
	all.Wait()
	for index := range int64(104) {
		good, err := r.lists.Valid(t.Context(), statuslist.Reference{URI: uri, Index: index})
		if want := index != 0 && index != 9 && index != 99; err != nil || good != want {
			t.Errorf("%d: %t, %v", index, good, err)
		}
	}
	for _, index := range []int64{104, 1 << 40} {
		if good, err := r.lists.Valid(t.Context(), statuslist.Reference{URI: uri, Index: index}); !errors.Is(
			err, statuslist.ErrReference) || good {
			t.Errorf("%d: %t, %v", index, good, err)
		}
	}
	if n := r.idp.HitsOf("/statuslists/1"); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// §4.1 of the draft: two bits a token, lowest bits first.
func TestBits(t *testing.T) {
	for bits, want := range map[int][]bool{1: {false, true, true, false}, 2: {false, false, true, false},
		4: {false, false}, 8: {false}} {
		r := open(t)
		uri := r.publish(t, nil, map[string]any{
			"status_list": map[string]any{"bits": bits, "lst": testidp.Deflate([]byte{0b11001001})}})
		for index, w := range want {
			if good, err := r.lists.Valid(t.Context(), statuslist.Reference{
				URI: uri, Index: int64(index)}); err != nil || good != w {
				t.Errorf("%d bits, %d: %t, %v", bits, index, good, err)
			}
		}
	}
}

// Anything that is not the list is neither yes nor no; the good list is next to each.
func TestBadLists(t *testing.T) {
	lst := func(bits any, lst string) map[string]any {
		return map[string]any{"status_list": map[string]any{"bits": bits, "lst": lst}}
	}
	for name, changes := range map[string]map[string]any{
		"another list":    {"sub": "https://127.0.0.1/statuslists/2"},
		"no sub":          {"sub": nil},
		"no iat":          {"iat": nil},
		"from the future": {"iat": time.Now().Unix() + 3600},
		"expired":         {"exp": time.Now().Unix() - 1},
		"exp as text":     {"exp": "tomorrow"},
		"no list":         {"status_list": nil},
		"3 bits":          lst(3, testidp.Deflate([]byte{0})),
		"bits as text":    lst("1", testidp.Deflate([]byte{0})),
		"no bits":         lst(nil, testidp.Deflate([]byte{0})),
		"not compressed":  lst(1, "AAAA"),
		"not base64url":   lst(1, "@@@@"),
		"empty":           lst(1, ""),
		"nothing in it":   lst(1, testidp.Deflate(nil)),
		"a bomb":          lst(1, testidp.Deflate(make([]byte, 32<<20))),
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t)
			uri := r.publish(t, nil, changes)
			if good, err := r.lists.Valid(t.Context(), statuslist.Reference{URI: uri, Index: 1}); !errors.Is(
				err, statuslist.ErrUnavailable) || good {
				t.Errorf("%t, %v", good, err)
			}
			r.publish(t, nil, nil)
			r.clock.Add(int64(3 * time.Second)) // a failure is not tried again at once
			if good, err := r.lists.Valid(t.Context(), statuslist.Reference{URI: uri, Index: 1}); err != nil || !good {
				t.Errorf("afterwards: %t, %v", good, err)
			}
		})
	}
	for name, answer := range map[string]func(*testidp.IDP) http.HandlerFunc{
		"an access token": func(p *testidp.IDP) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				raw, _ := p.Mint(testidp.Token{})
				w.Header().Set("Content-Type", "application/statuslist+jwt")
				w.Write([]byte(raw))
			}
		},
		"HTML": func(*testidp.IDP) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }
		},
		"503": func(*testidp.IDP) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }
		},
		"redirect": func(*testidp.IDP) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://localhost:1/statuslists/1", http.StatusFound)
			}
		},
		"huge": func(*testidp.IDP) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/statuslist+jwt")
				w.Write([]byte(strings.Repeat("a", 8<<20)))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t)
			uri := r.publish(t, nil, nil)
			r.idp.Fail(answer(r.idp))
			if good, err := r.lists.Valid(t.Context(), statuslist.Reference{URI: uri, Index: 1}); !errors.Is(
				err, statuslist.ErrUnavailable) || good {
				t.Errorf("%t, %v", good, err)
			}
		})
	}
}

// A list is fetched again when its ttl is over, used while that fails and it has not
// ended, and then not.
func TestAges(t *testing.T) {
	r := open(t)
	uri := r.publish(t, nil, nil)
	reference := statuslist.Reference{URI: uri, Index: 7}
	valid := func(want bool, what string) {
		t.Helper()
		wait.Until(t, what, func() bool { // a refresh goes on beside the answer
			good, err := r.lists.Valid(t.Context(), reference)
			return err == nil && good == want
		})
	}
	valid(true, "at first")
	r.publish(t, []int{7}, nil)
	r.clock.Store(int64(9 * time.Second))
	valid(true, "within ttl")
	r.clock.Store(int64(11 * time.Second))
	valid(false, "after ttl")
	r.idp.Fail(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	r.clock.Store(int64(30 * time.Minute))
	valid(false, "while it cannot be fetched")
	r.clock.Store(int64(61 * time.Minute))
	if good, err := r.lists.Valid(t.Context(), reference); !errors.Is(err, statuslist.ErrUnavailable) || good {
		t.Errorf("after exp: %t, %v", good, err)
	}
}

func TestReferences(t *testing.T) {
	r := open(t)
	for _, uri := range []string{"https://evil.example.com/1", "http://127.0.0.1.example.com/1", "https://localhost/1",
		"file:///etc/passwd", "", "//127.0.0.1/1", "https://user@127.0.0.1/1"} {
		if good, err := r.lists.Valid(t.Context(), statuslist.Reference{URI: uri}); !errors.Is(
			err, statuslist.ErrReference) || good {
			t.Errorf("%s: %t, %v", uri, good, err)
		}
	}
	list := func(v any) map[string]any { return map[string]any{"status": map[string]any{"status_list": v}} }
	for name, claims := range map[string]map[string]any{
		"not an object": list("x"), "no uri": list(map[string]any{"idx": json.Number("1")}),
		"no idx":     list(map[string]any{"uri": "https://a"}),
		"below zero": list(map[string]any{"uri": "https://a", "idx": json.Number("-1")}),
		"a fraction": list(map[string]any{"uri": "https://a", "idx": json.Number("1.5")}),
		"text":       list(map[string]any{"uri": "https://a", "idx": "1"}),
	} {
		if _, there, err := statuslist.Of(claims); !errors.Is(err, statuslist.ErrReference) || there {
			t.Errorf("%s: %t, %v", name, there, err)
		}
	}
	for name, claims := range map[string]map[string]any{"none": {}, "of another make": {"status": "active"}} {
		if _, there, err := statuslist.Of(claims); err != nil || there {
			t.Errorf("%s: %t, %v", name, there, err)
		}
	}
	if got, there, err := statuslist.Of(
		list(map[string]any{"uri": "https://a", "idx": json.Number("3")})); err != nil || !there || got.Index != 3 {
		t.Errorf("%+v, %t, %v", got, there, err)
	}
}

// FuzzRead: anything read as a list answers only for its own indices, and never takes more
// memory than a list may.
func FuzzRead(f *testing.F) {
	f.Add(1, testidp.Deflate([]byte{1, 2, 3}), "https://a", int64(5))
	f.Add(2, testidp.Deflate(nil), "https://a", int64(0))
	f.Add(8, "AAAA", "", int64(-1))
	f.Fuzz(func(t *testing.T, bits int, lst, sub string, index int64) {
		data, each, err := statuslist.ReadForTest(map[string]any{
			"sub": sub, "iat": json.Number("1"), "status_list": map[string]any{
				"bits": json.Number(strings.TrimSpace(jsonOf(bits))), "lst": lst},
		}, "https://a")
		if err != nil {
			return
		}
		if sub != "https://a" || len(data) == 0 || len(data) > 16<<20 || 8%each != 0 {
			t.Fatalf("read: sub %q, %d bytes of %d bits", sub, len(data), each)
		}
	})
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}
