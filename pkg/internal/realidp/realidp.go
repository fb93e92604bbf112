// Package realidp runs other people's identity providers for our tests: Keycloak, and
// oidc-provider from npm. `make providers` installs them.
//
// Each runs as a separate process on a free port of 127.0.0.1, can be stopped and started
// again at the same address, and rotates its keys in the same way as for its operators.
package realidp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Audience is the audience of the tokens that the providers make.
const Audience = "https://api.example.com"

// GatewaySecret is the secret of the client gateway, which may introspect.
const GatewaySecret = "TEST-gateway-secret"

// Provider is a running identity provider.
type Provider struct {
	Issuer                string
	IntrospectionEndpoint string

	t       testing.TB
	command func() *exec.Cmd
	health  string // answers 200 when it is up
	running *exec.Cmd
	exited  chan struct{}
	log     *os.File
	kind    kind
}

// kind holds what differs between providers.
type kind interface {
	token(t testing.TB, p *Provider, opaque bool) string
	rotate(t testing.TB, p *Provider)
	drop(t testing.TB, p *Provider)
}

// tools returns the folder into which `make providers` installs things.
func tools(t testing.TB, name string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a real provider: make test-all")
	}
	_, file, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(file), "..", "..", "..", ".tools", name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed: make providers", name)
		}
		t.Skipf("%s is not installed: make providers", name)
	}
	return path
}

func testdata(name string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "testdata", name)
}

// freePort returns a port that nobody listens on now.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// start runs p until the test ends.
func start(t testing.TB, p *Provider) *Provider {
	t.Helper()
	var err error
	if p.log, err = os.Create(filepath.Join(t.TempDir(), "provider.log")); err != nil {
		t.Fatal(err)
	}
	p.t = t
	t.Cleanup(func() { p.Stop(); p.log.Close() })
	p.Start()
	return p
}

// Start runs the provider at its earlier address, and returns when it answers.
func (p *Provider) Start() {
	p.t.Helper()
	p.running = p.command()
	p.running.Stdout, p.running.Stderr = p.log, p.log
	p.running.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children end with it
	if err := p.running.Start(); err != nil {
		p.t.Fatal(err)
	}
	exited := make(chan struct{})
	p.exited = exited
	go func(c *exec.Cmd) { defer close(exited); c.Wait() }(p.running)
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		select {
		case <-exited:
			p.t.Fatalf("the provider has ended: %s", p.tail())
		default:
		}
		if res, err := http.Get(p.health); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Since(begin) > 4*time.Minute {
			p.t.Fatalf("the provider does not answer: %s", p.tail())
		}
	}
}

func (p *Provider) tail() string {
	text, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// Stop ends the provider; it keeps what it knows.
func (p *Provider) Stop() {
	if p.running == nil {
		return
	}
	syscall.Kill(-p.running.Process.Pid, syscall.SIGTERM) // it may already be gone
	select {
	case <-p.exited:
	case <-time.After(20 * time.Second):
		syscall.Kill(-p.running.Process.Pid, syscall.SIGKILL)
		<-p.exited
	}
	syscall.Kill(-p.running.Process.Pid, syscall.SIGKILL) // whatever it left behind
	p.running = nil
}

// Token gets a new access token for Audience, a JWT or an opaque one.
func (p *Provider) Token(opaque bool) string { return p.kind.token(p.t, p, opaque) }

// Rotate makes the provider sign with a new key, and still publish the old one.
func (p *Provider) Rotate() { p.kind.rotate(p.t, p) }

// Drop makes the provider publish only the key that it signs with.
func (p *Provider) Drop() { p.kind.drop(p.t, p) }

// call sends a form or a JSON document and returns the answer.
func call(t testing.TB, method, address, bearer string, body any, into any) {
	t.Helper()
	var reader io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case url.Values:
		reader, kind = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	default:
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = errors.New(res.Status)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(fmt.Errorf("%s %s: %w: %.300s", method, address, err, text))
	}
}

// tokenOf reads the access token in a token endpoint's answer.
func tokenOf(t testing.TB, endpoint string, form url.Values) string {
	t.Helper()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	call(t, http.MethodPost, endpoint, "", form, &answer)
	return answer.AccessToken
}
