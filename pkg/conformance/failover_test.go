package conformance_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepward/stepward/envoy"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/conformance"
	"github.com/stepward/stepward/pkg/server"
)

// replica is a Stepward with the base fixture on an address of its own.
type replica struct {
	address string
	stop    func()
}

func startReplica(t *testing.T, file, address string) replica {
	t.Helper()
	c, err := config.Load(file, config.Options{Getenv: os.Getenv, Listen: address, Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	c.Drain.Delay = config.Duration(2 * time.Second)
	s, err := server.New(t.Context(), c, server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	r := replica{address: s.Addr().String(), stop: func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
		}
	}}
	t.Cleanup(r.stop)
	if err := s.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// With one replica gone nobody notices; with both gone nobody gets in; when one is
// back, so are the users.
func TestFailover(t *testing.T) {
	dir := t.TempDir()
	if err := conformance.WriteFixture(suite(t), dir); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "stepward.yaml")
	first, second := startReplica(t, file, "127.0.0.1:0"), startReplica(t, file, "127.0.0.1:0")
	var hits atomic.Int64
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	app := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) })}
	go app.Serve(listener)
	defer app.Close()
	text, err := envoy.Render(envoy.Params{Ingress: "127.0.0.1:0", Apps: []string{listener.Addr().String()}, Stepwards: []string{first.address, second.address}, CheckTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	path, err := envoy.Get(t.Context(), "", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	process, err := envoy.Start(t.Context(), path, text)
	if err != nil {
		t.Fatal(err)
	}
	defer process.Stop()
	if err := process.WaitHealthy(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	get := func() int {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
		res, err := client.Get("http://" + process.Ingress + "/public")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode
	}
	stopping := make(chan struct{})
	go func() { defer close(stopping); first.stop() }()
	for range 200 { // while it drains, stops, and is gone
		if status := get(); status != 200 {
			t.Fatalf("with one replica stopping: %d", status)
		}
		time.Sleep(15 * time.Millisecond)
	}
	<-stopping
	second.stop()
	before := hits.Load()
	for range 20 {
		if status := get(); status != 503 {
			t.Fatalf("with no replica: %d", status)
		}
	}
	if hits.Load() != before {
		t.Fatal("the upstream was reached with no replica to ask")
	}
	startReplica(t, file, second.address)
	for start := time.Now(); get() != 200; time.Sleep(50 * time.Millisecond) {
		if time.Since(start) > 60*time.Second {
			t.Fatal("a replica that is back is not used")
		}
	}
}
