package envoy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startTimeout limits a start on a busy machine.
const startTimeout = 60 * time.Second

// Process is a running Envoy. Its owner stops it.
type Process struct {
	Ingress string // host:port of the first listener
	Admin   string // host:port

	cmd  *exec.Cmd
	dir  string
	log  *bytes.Buffer // read only after exited is closed
	exit chan error
}

// Start runs the Envoy at path with a configuration in YAML, and returns when it listens.
// Envoy runs until [Process.Stop]; on Linux it also ends with this process.
func Start(ctx context.Context, path string, configuration []byte) (*Process, error) {
	dir, err := os.MkdirTemp("", "stepward-envoy-")
	if err != nil {
		return nil, fmt.Errorf("envoy: %w", err)
	}
	file := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(file, configuration, 0o600); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("envoy: %w", err)
	}
	p := &Process{dir: dir, log: &bytes.Buffer{}, exit: make(chan error, 1)}
	p.cmd = exec.Command(path, "-c", file, "--use-dynamic-base-id", "--disable-hot-restart", "--concurrency", "1",
		"--log-level", "warning", "--admin-address-path", filepath.Join(dir, "admin"))
	p.cmd.Stdout, p.cmd.Stderr = io.Discard, p.log
	p.cmd.SysProcAttr = childAttributes()
	if err := p.cmd.Start(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("envoy: %w", err)
	}
	go func() { p.exit <- p.cmd.Wait() }()
	if err := p.wait(ctx); err != nil {
		p.Stop()
		return nil, fmt.Errorf("envoy: %w\n%s", err, strings.TrimSpace(p.log.String()))
	}
	return p, nil
}

// wait polls until Envoy has written its admin address, is live and listens.
func (p *Process) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if p.listening(ctx) {
			return nil
		}
		select {
		case err := <-p.exit:
			p.exit <- err
			return fmt.Errorf("it ended at start: %w", err)
		case <-ctx.Done():
			return errors.New("it did not start in time")
		case <-tick.C:
		}
	}
}

func (p *Process) listening(ctx context.Context) bool {
	address, err := os.ReadFile(filepath.Join(p.dir, "admin"))
	if err != nil {
		return false
	}
	p.Admin = strings.TrimSpace(string(address))
	if body, err := p.AdminGet(ctx, "/ready"); err != nil || !strings.HasPrefix(body, "LIVE") {
		return false
	}
	body, err := p.AdminGet(ctx, "/listeners?format=json")
	if err != nil {
		return false
	}
	var list struct {
		Statuses []struct {
			Address struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if json.Unmarshal([]byte(body), &list) != nil || len(list.Statuses) == 0 {
		return false
	}
	socket := list.Statuses[0].Address.Socket
	p.Ingress = fmt.Sprintf("%s:%d", socket.Address, socket.Port)
	return true
}

// AdminGet returns a page of Envoy's admin interface.
func (p *Process) AdminGet(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Admin+path, nil)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

// WaitHealthy returns when Envoy's health checks have found n replicas of Stepward
// serving.
func (p *Process) WaitHealthy(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	want := fmt.Sprintf("cluster.stepward.membership_healthy: %d\n", n)
	for {
		if body, err := p.AdminGet(ctx, "/stats?filter=cluster.stepward.membership_healthy"); err == nil &&
			body == want {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("envoy: the replicas of Stepward did not become healthy")
		case <-tick.C:
		}
	}
}

// Stop ends Envoy and removes its files.
func (p *Process) Stop() {
	p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has already ended
	limit := time.NewTimer(5 * time.Second)
	defer limit.Stop()
	select {
	case <-p.exit:
	case <-limit.C:
		p.cmd.Process.Kill()
		<-p.exit
	}
	os.RemoveAll(p.dir)
}

// Validate has the Envoy at path check a configuration.
func Validate(ctx context.Context, path string, configuration []byte) error {
	dir, err := os.MkdirTemp("", "stepward-envoy-")
	if err != nil {
		return fmt.Errorf("envoy: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(file, configuration, 0o600); err != nil {
		return fmt.Errorf("envoy: %w", err)
	}
	if text, err := exec.CommandContext(ctx, path, "--mode", "validate", "--use-dynamic-base-id", "-c",
		file).CombinedOutput(); err != nil {
		return fmt.Errorf("envoy: %w\n%s", err, strings.TrimSpace(string(text)))
	}
	return nil
}
