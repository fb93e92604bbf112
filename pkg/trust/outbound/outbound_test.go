package outbound_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/trust/outbound"
)

// names returns a resolver whose names lead to where a test says, one answer after the
// other.
func names(t *testing.T, answers ...string) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	var n atomic.Int64
	go func() { // ends when the socket closes
		for buffer := make([]byte, 512); ; {
			size, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:size]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response = true
			m.Additionals = nil
			q := m.Questions[0]
			ip := netip.MustParseAddr(answers[min(int(n.Load()), len(answers)-1)])
			header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
			switch {
			case q.Type == dnsmessage.TypeA && ip.Is4():
				n.Add(1)
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: ip.As4()}}}
			case q.Type == dnsmessage.TypeAAAA && ip.Is6():
				n.Add(1)
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}}}
			}
			if out, err := m.Pack(); err == nil {
				server.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// A name that leads to an address off the Internet opens no connection, however the
// address is spelt, and with every allowance but its own.
func TestAddresses(t *testing.T) {
	for _, v := range []struct {
		at      string
		allow   []string
		refused bool
	}{
		{"169.254.169.254", nil, true},
		{"169.254.169.254", []string{"idp.test"}, true}, // a name that is allowed may be rebound
		{"169.254.1.1", []string{"idp.test"}, true},
		{"fe80::1", []string{"idp.test"}, true},
		{"fd00:ec2::254", []string{"idp.test"}, true},
		{"100.100.100.200", []string{"idp.test"}, true},
		{"168.63.129.16", []string{"idp.test"}, true},
		{"64:ff9b::a9fe:a9fe", []string{"idp.test"}, true}, // 169.254.169.254 by NAT64
		{"2002:a9fe:a9fe::1", []string{"idp.test"}, true},  // and by 6to4
		{"::ffff:169.254.169.254", []string{"idp.test"}, true},
		{"224.0.0.1", []string{"idp.test"}, true},
		{"10.1.2.3", nil, true}, {"10.1.2.3", []string{"other.test"}, true},
		{"172.16.0.1", nil, true}, {"192.168.1.1", nil, true}, {"100.64.0.1", nil, true},
		{"127.0.0.1", nil, true}, {"::1", nil, true}, {"0.0.0.0", nil, true}, {"::", nil, true},
		{"fc00::1", nil, true}, {"::7f00:1", nil, true}, {"64:ff9b::7f00:1", nil, true},
		{"64:ff9b::a01:203", nil, true},
		{"240.0.0.1", nil, true}, {"198.18.0.1", nil, true},
		{"127.0.0.1", []string{"idp.test"}, false},
		{"127.0.0.1", []string{"IDP.test."}, false},
	} {
		client := outbound.New(outbound.Config{Allow: v.allow, Resolver: names(t, v.at), Timeout: wait.Bound})
		_, err := client.Get(t.Context(), "https://idp.test:1/", "application/json", 10)
		if errors.Is(err, outbound.ErrAddress) != v.refused || err == nil {
			t.Errorf("%s with %v allowed: %v", v.at, v.allow, err)
		}
	}
}

func TestLiteralAddresses(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "ok")
	}))
	defer server.Close()
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	res, err := outbound.New(outbound.Config{Roots: roots, Allow: []string{"127.0.0.1"}}).Get(t.Context(), server.URL,
		"", 10)
	if err != nil || string(res.Body) != "ok" {
		t.Errorf("an allowed address: %v, %v", res, err)
	}
	for _, address := range []string{server.URL, "https://169.254.169.254/latest/meta-data",
		"https://[fe80::1%25eth0]/", "https://0x7f000001/", "https://2130706433/", "https://127.1/"} {
		_, err := outbound.New(outbound.Config{Roots: roots, Allow: []string{"example.com"}, Timeout: time.Second}).Get(t.Context(), address, "", 10) // clock: nobody is to be reached
		if err == nil {
			t.Errorf("%s was called", address)
		}
	}
	for _, address := range []string{"http://example.com", "ftp://example.com", "https://u:p@example.com/",
		"file:///etc/passwd", "/x"} {
		if _, err := outbound.New(outbound.Config{}).Get(t.Context(), address, "", 10); err == nil {
			t.Errorf("%s was called", address)
		}
	}
}

// The second answer for a name leads inward. Connections are counted at the server.
func TestRebinding(t *testing.T) {
	var accepted atomic.Int64
	inside := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	inside.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			accepted.Add(1)
		}
	}
	inside.StartTLS()
	defer inside.Close()
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	client := outbound.New(outbound.Config{Resolver: names(t, "192.0.2.1", "127.0.0.1"), Timeout: 300 * time.Millisecond}) // clock: nobody is to be reached
	for range 3 {
		if _, err := client.Get(t.Context(), "https://idp.test:"+port, "", 10); err == nil {
			t.Error("it was reached")
		}
	}
	if n := accepted.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
	control := outbound.New(outbound.Config{Allow: []string{"idp.test"}, Resolver: names(t, "127.0.0.1"),
		Timeout: wait.Bound})
	control.Get(t.Context(), "https://idp.test:"+port, "", 10)
	if accepted.Load() == 0 {
		t.Error("the name leads nowhere, so this test shows nothing")
	}
}

func TestAnswers(t *testing.T) {
	mux := http.NewServeMux()
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	var elsewhere atomic.Int64
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	mux.HandleFunc("/exact", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 100)) })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 101)) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			w.Write(make([]byte, 1<<10))
		}
	})
	mux.HandleFunc("/bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for range 64 {
			z.Write(make([]byte, 1<<20))
		}
		z.Close()
	})
	mux.HandleFunc("/small-gzip", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		z.Write([]byte("ok"))
		z.Close()
	})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusFound)
	})
	mux.HandleFunc("/metadata", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/", http.StatusFound)
	})
	mux.HandleFunc("/near", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/exact", http.StatusFound)
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/loop", http.StatusFound)
	})
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	client := outbound.New(outbound.Config{Roots: roots, Allow: []string{"127.0.0.1"}, Timeout: wait.Bound})
	hurried := outbound.New(outbound.Config{Roots: roots, Allow: []string{"127.0.0.1"}, Timeout: 300 * time.Millisecond}) // clock: nobody answers
	if _, err := hurried.Get(t.Context(), server.URL+"/hang", "", 100); err == nil {
		t.Error("a server that hangs answers")
	}
	for path, good := range map[string]bool{
		"/exact": true, "/near": true, "/small-gzip": true, "/missing": true, // a 404 is an answer
		"/large": false, "/endless": false, "/bomb": false, "/away": false, "/metadata": false, "/loop": false,
	} {
		_, err := client.Get(t.Context(), server.URL+path+"?secret=1", "", 100)
		if (err == nil) != good {
			t.Errorf("%s: %v", path, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s tells the query: %v", path, err)
		}
		client.Get(t.Context(), server.URL+"/exact", "", 100) // the breaker counts failures in a row
	}
	if elsewhere.Load() != 0 {
		t.Error("another host was called")
	}
	untrusted := outbound.New(outbound.Config{Allow: []string{"127.0.0.1"}})
	if _, err := untrusted.Get(t.Context(), server.URL+"/exact", "", 100); !errors.Is(err, outbound.ErrDown) {
		t.Errorf("with a certificate of nobody known: %v", err)
	}
}

// A host that keeps failing is left alone, and is called again once it has recovered.
func TestBreaker(t *testing.T) {
	var calls, status atomic.Int64
	status.Store(503)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(int(status.Load()))
	}))
	defer server.Close()
	client := outbound.New(outbound.Config{Allow: []string{"127.0.0.1"}})
	for range 50 {
		client.Get(t.Context(), server.URL, "", 10)
	}
	if n := calls.Load(); n != 5 {
		t.Errorf("%d calls of a host that is down", n)
	}
	if _, err := client.Get(t.Context(), server.URL, "", 10); !errors.Is(err, outbound.ErrDown) {
		t.Errorf("%v", err)
	}
	status.Store(200)
	wait.Until(t, "it is called again", func() bool {
		res, err := client.Get(t.Context(), server.URL, "", 10)
		return err == nil && res.Status == 200
	})
}

// The environment's proxy may be anywhere; what it is asked for may not.
func TestProxy(t *testing.T) {
	var asked atomic.Pointer[string]
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(&r.Host)
		w.WriteHeader(http.StatusForbidden)
	}))
	defer proxy.Close()
	u, _ := url.Parse(proxy.URL)
	client := outbound.New(outbound.Config{Proxy: http.ProxyURL(u)})
	client.Get(t.Context(), "https://idp.example.com/", "", 10)
	if got := asked.Load(); got == nil || *got != "idp.example.com:443" {
		t.Errorf("the proxy was asked for %v", got)
	}
	asked.Store(nil)
	if _, err := client.Get(t.Context(), "https://169.254.169.254/", "", 10); !errors.Is(err, outbound.ErrAddress) ||
		asked.Load() != nil {
		t.Errorf("the proxy was asked for the metadata service: %v", err)
	}
}
