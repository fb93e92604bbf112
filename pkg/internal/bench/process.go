//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/sys/unix"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// noop does the least that a Check server can do with stock grpc-go and the generated
// types.
type noop struct {
	authv3.UnimplementedAuthorizationServer
}

// Check lets everything through.
func (noop) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{Status: &status.Status{}}, nil
}

// serveNoop serves until the process is killed.
func serveNoop(address string) int {
	l, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	s := grpc.NewServer()
	authv3.RegisterAuthorizationServer(s, noop{})
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	if err := s.Serve(l); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// process is a server that runs on this machine.
type process struct {
	address string
	ready   time.Duration // from its start until it answered
	cmd     *exec.Cmd
	said    bytes.Buffer
}

// startNoop starts this binary again as the no-op server.
func startNoop(ctx context.Context) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(ctx, "", self, func(address string) []string { return []string{"noop", address} })
}

// startStepward serves the configuration in dir. It logs decisions to a file there, as
// JSON, and metrics are on, as in production.
func startStepward(ctx context.Context, binary, dir string) (*process, error) {
	path, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	return start(ctx, dir, path, func(address string) []string {
		return []string{"serve", "-c", "stepward.yaml", "--listen", address, "--admin", "127.0.0.1:0"}
	})
}

func start(ctx context.Context, dir, path string, args func(address string) []string) (*process, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &process{address: l.Addr().String()}
	l.Close()
	p.cmd = exec.CommandContext(ctx, path, args(p.address)...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.said, &p.said
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.wait(ctx); err != nil {
		p.stop()
		return nil, fmt.Errorf("%w\n%s", err, &p.said)
	}
	p.ready = time.Since(began)
	return p, nil
}

// wait returns when p says that it serves.
func (p *process) wait(ctx context.Context) error {
	conn, err := grpc.NewClient(p.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second}))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := grpc_health_v1.NewHealthClient(conn)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		conn.ResetConnectBackoff()
		r, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		if err == nil && r.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING {
			return nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return errors.New("it is not serving after a minute")
}

func (p *process) stop() {
	if p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// used returns the processor time of p so far, by the kernel's clock for that process: it
// includes every thread, even ended ones.
func (p *process) used() (time.Duration, error) {
	const cpuClockSched = 2 // CPUCLOCK_SCHED of the kernel's posix-timers
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|cpuClockSched), &t); err != nil {
		return 0, fmt.Errorf("processor time of %s: %w", p.cmd.Path, err)
	}
	return time.Duration(t.Nano()), nil
}

// memory returns the resident set of p, in bytes.
func (p *process) memory() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("the kernel tells no VmRSS")
}
