package keyset_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stepward/stepward/pkg/trust/keyset"
)

func TestDiscoveryRefuses(t *testing.T) {
	t.Parallel()
	idp := start(t, true)
	for name, document := range map[string]string{
		"another issuer":   `{"issuer":"` + idp.URL + `/","jwks_uri":"` + idp.URL + `/jwks"}`,
		"another spelling": `{"Issuer":"` + idp.URL + `","jwks_uri":"` + idp.URL + `/jwks"}`,
		"two issuers": `{"issuer":"https://evil.example.com","issuer":"` + idp.URL + `","jwks_uri":"` + idp.URL +
			`/jwks"}`,
		"keys in plain text": `{"issuer":"` + idp.URL + `","jwks_uri":"http://idp.example.com/jwks"}`,
		"no jwks_uri":        `{"issuer":"` + idp.URL + `"}`,
		"a file":             `{"issuer":"` + idp.URL + `","jwks_uri":"file:///etc/passwd"}`,
		"metadata service":   `{"issuer":"` + idp.URL + `","jwks_uri":"https://169.254.169.254/jwks"}`,
		"not JSON":           `<html>`,
	} {
		t.Run(name, func(t *testing.T) {
			idp.Fail(func(w http.ResponseWriter, q *http.Request) {
				if strings.HasSuffix(q.URL.Path, "/jwks") {
					jsonWith(200, string(idp.JWKS()))(w, q)
					return
				}
				jsonWith(200, document)(w, q)
			})
			defer idp.Fail(nil)
			s := open(t, idp, keyset.RemoteConfig{})
			if f := <-s.fetched; f.Err == nil || s.Loaded() {
				t.Errorf("loaded: %v", f.Err)
			}
		})
	}
	loaded(t, idp, keyset.RemoteConfig{}) // beside all these
}

// RFC 8414: metadata of an issuer with a path stand between host and path.
func TestDiscoveryOAuth(t *testing.T) {
	t.Parallel()
	idp := start(t, true)
	idp.Handle("/.well-known/oauth-authorization-server/tenant", func(w http.ResponseWriter, q *http.Request) {
		jsonWith(200, `{"issuer":"`+idp.URL+`/tenant","jwks_uri":"`+idp.URL+
			`/jwks","acr_values_supported":["a"],"claims_parameter_supported":true}`)(w, q)
	})
	s := loaded(t, idp, keyset.RemoteConfig{Issuer: idp.URL + "/tenant"})
	expect(t, "a key", s.find(t, "es"), nil)
	if m := s.Status().Metadata; len(m.ACRValues) != 1 || !m.ClaimsParameter {
		t.Errorf("%+v", m)
	}
}

// K2: metadata that lead to a place that may not be called open no connection there,
// by another name or by a redirect.
func TestNoConnectionElsewhere(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var connections atomic.Int64
	go func() { // ends when the listener closes
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			c.Close()
		}
	}()
	elsewhere := fmt.Sprintf("https://localhost:%d/jwks", listener.Addr().(*net.TCPAddr).Port)
	for name, h := range map[string]http.HandlerFunc{
		"metadata": func(w http.ResponseWriter, q *http.Request) {
			jsonWith(200, `{"issuer":"https://`+q.Host+`","jwks_uri":"`+elsewhere+`"}`)(w, q)
		},
		"redirect": func(w http.ResponseWriter, q *http.Request) { http.Redirect(w, q, elsewhere, http.StatusFound) },
	} {
		t.Run(name, func(t *testing.T) {
			idp := start(t, true)
			idp.Fail(h)
			s := open(t, idp, keyset.RemoteConfig{})
			if f := <-s.fetched; f.Err == nil || s.Loaded() {
				t.Errorf("loaded: %v", f.Err)
			}
		})
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}
