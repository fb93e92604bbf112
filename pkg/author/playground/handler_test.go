package playground_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/author/playground"
)

// A page of this machine is at a loopback address, or nowhere.
func TestListen(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "localhost:0"} {
		l, err := playground.Listen(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
			t.Errorf("%s is at %s", address, l.Addr())
		}
		l.Close()
	}
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0", "127.0.0.1",
		"unix:///x"} {
		if l, err := playground.Listen(address); err == nil {
			l.Close()
			t.Errorf("%s is listened at", address)
		}
	}
}

// call makes a request as the page does, changed.
func call(t *testing.T, h http.Handler, method, path, body string,
	change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://"+host+path, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Origin", "http://"+host)
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Who is not the page is refused, whatever is asked, and the page is answered.
func TestGuard(t *testing.T) {
	h := playground.Handler(playground.Options{Host: host, Token: secret, Workspace: workspace(), Stage: stage})
	good := text(t, workspace())
	for _, x := range []struct {
		name         string
		method, path string
		body         string
		change       func(*http.Request)
		status       int
	}{
		{"the page", "GET", "/" + secret + "/", "", nil, 200},
		{"opened from outside", "GET", "/" + secret + "/", "", func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "none")
		}, 200},
		{"another Host", "GET", "/" + secret + "/", "", func(r *http.Request) { r.Host = "attacker.example" }, 421},
		{"a name of the address", "GET", "/" + secret + "/", "", func(r *http.Request) { r.Host = "localhost:4711" },
			421},
		{"another port", "GET", "/" + secret + "/", "", func(r *http.Request) { r.Host = "127.0.0.1:4712" }, 421},
		{"no token", "GET", "/", "", nil, 403},
		{"no token, a file", "GET", "/main.js", "", nil, 403},
		{"another token", "GET", "/TEST-tokem/", "", nil, 403},
		{"a longer token", "GET", "/" + secret + "x/", "", nil, 403},
		{"another origin", "GET", "/" + secret + "/api/state", "", func(r *http.Request) {
			r.Header.Set("Origin", "https://attacker.example")
		}, 403},
		{"the null origin", "GET", "/" + secret + "/api/state", "", func(r *http.Request) {
			r.Header.Set("Origin", "null")
		}, 403},
		{"from another site", "GET", "/" + secret + "/api/state", "", func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, 403},
		{"from another port", "GET", "/" + secret + "/api/state", "", func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "same-site")
		}, 403},
		{"the state", "GET", "/" + secret + "/api/state", "", nil, 200},
		{"no such file", "GET", "/" + secret + "/passwd", "", nil, 404},
		{"outside of the page", "GET", "/" + secret + "/..%2fpage.go", "", nil, 404},
		{"no such method", "POST", "/" + secret + "/", "", nil, 405},
		{"nothing is watched", "GET", "/" + secret + "/api/live", "", nil, 404},
		{"a question", "POST", "/" + secret + "/api/evaluate", good, nil, 200},
		{"without Origin", "POST", "/" + secret + "/api/evaluate", good, func(r *http.Request) {
			r.Header.Del("Origin")
		}, 403},
		{"two Origins", "POST", "/" + secret + "/api/evaluate", good, func(r *http.Request) {
			r.Header.Add("Origin", "http://"+host)
		}, 403},
		{"Origin by https", "POST", "/" + secret + "/api/evaluate", good, func(r *http.Request) {
			r.Header.Set("Origin", "https://"+host)
		}, 403},
		{"as a form sends it", "POST", "/" + secret + "/api/evaluate", good, func(r *http.Request) {
			r.Header.Set("Content-Type", "text/plain")
		}, 415},
		{"too large", "POST", "/" + secret + "/api/evaluate", `{"format":"` + strings.Repeat("x", playground.MaxSize),
			nil, 413},
		{"not JSON", "POST", "/" + secret + "/api/evaluate", "{", nil, 422},
		{"not a workspace", "POST", "/" + secret + "/api/matrix", "{}", nil, 422},
		{"a saved one", "POST", "/" + secret + "/api/open", good, nil, 200},
		{"a broken one", "POST", "/" + secret + "/api/open", good[1:], nil, 422},
		{"asked by GET", "GET", "/" + secret + "/api/evaluate", "", nil, 405},
	} {
		res := call(t, h, x.method, x.path, x.body, x.change)
		if res.Code != x.status {
			t.Errorf("%s: %d %.200s; want %d", x.name, res.Code, res.Body, x.status)
		}
		head := res.Header()
		if !strings.Contains(head.Get("Content-Security-Policy"), "default-src 'none'") || !strings.Contains(
			head.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
			head.Get("Cache-Control") != "no-store" || head.Get("X-Content-Type-Options") != "nosniff" ||
			head.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", x.name, head)
		}
	}
}

// The stream has each decision beside its scenario, and ends with why it does.
func TestLive(t *testing.T) {
	for ends, err := range map[string]error{"the service has stopped": nil, "no socket": errors.New("no socket")} {
		h := playground.Handler(playground.Options{Host: host, Token: secret, Workspace: workspace(), Stage: stage,
			Live: func(_ context.Context, each func(explain.Explanation)) error {
				each(explain.Explanation{DecisionID: "d1", Request: explain.Request{Method: "GET", RawPath: "/x",
					Kind: "navigation"}})
				each(explain.Explanation{DecisionID: "d2"})
				return err
			}})
		res := call(t, h, "GET", "/"+secret+"/api/live", "", nil)
		lines := strings.Split(strings.TrimSpace(res.Body.String()), "\n")
		if res.Code != 200 || len(lines) != 3 || !strings.Contains(lines[0], `"decision_id":"d1"`) || !strings.Contains(
			lines[0], `"scenario":{"as":"browser"`) || strings.Contains(lines[1], "scenario") || lines[2] != `{"end":"`+
			ends+`"}` {
			t.Errorf("%d %q", res.Code, lines)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	h := playground.Handler(playground.Options{Host: host, Token: secret, Workspace: workspace(), Stage: stage,
		Live: func(ctx context.Context, _ func(explain.Explanation)) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}})
	if res := call(t, h, "GET", "/"+secret+"/api/live", "", func(r *http.Request) {
		*r = *r.WithContext(gone)
	}); res.Body.Len() != 0 {
		t.Errorf("%s for who is gone", res.Body)
	}
}
