package admin_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/run/admin"
)

func TestHandler(t *testing.T) {
	checks := []admin.Check{{Name: "policy", Ready: true}, {Name: "keys of corp", Ready: false,
		Detail: "not fetched yet"}}
	server := httptest.NewServer(admin.Handler(admin.Config{
		Ready:   func() []admin.Check { return checks },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("m 1\n")) }),
		Version: map[string]string{"version": "v1"},
	}))
	defer server.Close()
	get := func(method, path string) (int, string) {
		req, err := http.NewRequest(method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	for _, v := range []struct {
		method, path string
		status       int
		holds        string
	}{
		{"GET", "/healthz", 200, "ok"}, {"GET", "/readyz", 503, "not ready"},
		{"GET", "/readyz?verbose", 503, "not fetched yet"},
		{"GET", "/metrics", 200, "m 1"}, {"GET", "/version", 200, "v1"}, {"HEAD", "/healthz", 200, ""},
		{"GET", "/", 404, ""}, {"GET", "/debug/pprof/", 404, ""}, {"POST", "/readyz", 405, ""},
	} {
		if status, body := get(v.method, v.path); status != v.status || !strings.Contains(body, v.holds) {
			t.Errorf("%s %s: %d %q", v.method, v.path, status, body)
		}
	}
	checks = checks[:1]
	if status, body := get("GET", "/readyz"); status != 200 || body != "ready\n" {
		t.Errorf("ready: %d %q", status, body)
	}
}
