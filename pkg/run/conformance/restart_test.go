package conformance_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stepward/stepward/envoy"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/run/conformance"
)

// process is a Stepward as it is deployed: the binary, on ports of its own.
type process struct {
	t             *testing.T
	binary, file  string
	listen, admin string
	log           bytes.Buffer
	cmd           *exec.Cmd
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *process) start() {
	p.t.Helper()
	p.log.Reset()
	p.cmd = exec.Command(p.binary, "serve", "-c", p.file, "--listen", p.listen, "--admin", p.admin)
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	wait.Until(p.t, "ready", func() bool {
		res, err := http.Get("http://" + p.admin + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

func (p *process) stop(signal syscall.Signal) {
	p.t.Helper()
	if p.cmd.ProcessState != nil {
		return
	}
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	err := p.cmd.Wait()
	if signal == syscall.SIGTERM && err != nil {
		p.t.Errorf("SIGTERM: %v: %s", err, p.log.String())
	}
}

// gateway is a real Envoy before two Stepwards and an application.
type gateway struct {
	url string
	*envoy.Process
	hits *atomic.Int64
	a, b *process
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	dir := t.TempDir()
	if err := conformance.WriteFixture(suite(t), dir); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "stepward.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("drain: { delay: 10ms }"),
		[]byte("drain: { delay: 7s }\nlog: { decisions: off }"), 1)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "stepward")
	if out, err := exec.Command("go", "build", "-o", binary, "../../../cmd/stepward").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	g := &gateway{hits: &atomic.Int64{}}
	var addresses []string
	for _, p := range []**process{&g.a, &g.b} {
		*p = &process{t: t, binary: binary, file: file, listen: freeAddress(t), admin: freeAddress(t)}
		(*p).start()
		t.Cleanup(func() { (*p).stop(syscall.SIGKILL) })
		addresses = append(addresses, (*p).listen)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	app := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(
		func(http.ResponseWriter, *http.Request) { g.hits.Add(1) })}
	go app.Serve(listener)
	t.Cleanup(func() { app.Close() })
	g.Process = ingress(t, envoy.Params{Apps: []string{listener.Addr().String()}, Stepwards: addresses,
		CheckTimeout: 10 * time.Second})
	g.url = "http://" + g.Ingress + "/public"
	return g
}

// found waits until Envoy knows that n replicas serve.
func (g *gateway) found(t *testing.T, n int) {
	t.Helper()
	if err := g.WaitHealthy(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

// ingress starts a real Envoy that has found every Stepward.
func ingress(t *testing.T, p envoy.Params) *envoy.Process {
	t.Helper()
	p.Ingress = "127.0.0.1:0"
	configuration, err := envoy.Render(p)
	if err != nil {
		t.Fatal(err)
	}
	path, err := envoy.Get(t.Context(), "", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := envoy.Start(t.Context(), path, configuration)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	if err := proxy.WaitHealthy(t.Context(), len(p.Stepwards)); err != nil {
		t.Fatal(err)
	}
	return proxy
}

// load sends requests, some at a time, until it is stopped, and counts what came.
type load struct {
	statuses [600]atomic.Int64
	failed   atomic.Int64
	done     chan struct{}
	clients  sync.WaitGroup
}

func (g *gateway) load(clients int) *load {
	l := &load{done: make(chan struct{})}
	for range clients {
		l.clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: wait.Bound}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-l.done:
					return
				case <-time.After(2 * time.Millisecond): // clock: others want to run
				}
				res, err := client.Get(g.url)
				if err != nil {
					l.failed.Add(1)
					continue
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				l.statuses[res.StatusCode].Add(1)
			}
		})
	}
	return l
}

func (l *load) stop() (good, bad int64) {
	close(l.done)
	l.clients.Wait()
	return l.count()
}

// served waits until n more were answered well.
func (l *load) served(t *testing.T, n int64) {
	t.Helper()
	before, _ := l.count()
	wait.Until(t, "good answers", func() bool { good, _ := l.count(); return good >= before+n })
}

func (l *load) count() (good, bad int64) {
	bad = l.failed.Load()
	for status := range l.statuses {
		if n := l.statuses[status].Load(); status == 200 {
			good = n
		} else {
			bad += n
		}
	}
	return good, bad
}

// With one replica after the other restarted under load nobody notices. `make soak`
// does it twenty times.
func TestRollingRestarts(t *testing.T) {
	restarts := 4
	if testing.Short() {
		restarts = 2
	}
	if n, err := strconv.Atoi(os.Getenv("STEPWARD_RESTARTS")); err == nil {
		restarts = n
	}
	g := newGateway(t)
	l := g.load(4)
	for i := range restarts {
		p := []*process{g.a, g.b}[i%2]
		p.stop(syscall.SIGTERM)
		p.start()
		g.found(t, 2) // as a rollout waits for readiness at Envoy's
		l.served(t, 100)
	}
	good, bad := l.stop()
	t.Logf("%d restarts, %d good answers, %d others", restarts, good, bad)
	if bad > 0 {
		t.Errorf("%d answers were not 200, %d were", bad, good)
	}
}

// One replica killed costs next to nothing; both gone is 503 for everyone and no
// request at the application; the first one back serves again.
func TestKilledReplicas(t *testing.T) {
	g := newGateway(t)
	l := g.load(4)
	l.served(t, 100)
	g.a.stop(syscall.SIGKILL)
	g.found(t, 1)
	l.served(t, 2000)
	good, bad := l.stop()
	t.Logf("one killed: %d good answers, %d others", good, bad)
	if bad*1000 > good {
		t.Errorf("one killed: %d of %d failed; want at most 0.1 %%", bad, good+bad)
	}
	g.b.stop(syscall.SIGKILL)
	hits := g.hits.Load()
	for range 50 {
		res, err := http.Get(g.url)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 503 {
			t.Fatalf("both gone: %d", res.StatusCode)
		}
	}
	if g.hits.Load() != hits {
		t.Error("both gone, and the application was reached")
	}
	g.b.start()
	wait.Until(t, "a replica that is back is used", func() bool {
		res, err := http.Get(g.url)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}
