package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// fetch URL TEXT gets a page until its status and body hold TEXT, as a server that
// starts needs a moment.
func fetch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fetch URL TEXT")
	}
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	got := ""
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(50 * time.Millisecond) { // clock: a bound
		res, err := client.Get(args[0])
		if err != nil {
			got = err.Error()
			continue
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err == nil {
			got = res.Status + " " + string(body)
		}
		if strings.Contains(got, args[1]) {
			return
		}
	}
	ts.Fatalf("%s: %s; want %q", args[0], got, args[1])
}

// terminate sends SIGTERM to what runs in the background.
func terminate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: terminate")
	}
	for _, c := range ts.BackgroundCmds() {
		ts.Check(c.Process.Signal(os.Interrupt))
	}
}

// signal HUP sends the signal to what runs in the background.
func send(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || args[0] != "HUP" {
		ts.Fatalf("usage: signal HUP")
	}
	for _, c := range ts.BackgroundCmds() {
		ts.Check(c.Process.Signal(syscall.SIGHUP))
	}
}

// exits CODE COMMAND… runs a command and holds its exit code against CODE.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%s exits with %d; want %s", strings.Join(args[1:], " "), code, args[0])
	}
}
