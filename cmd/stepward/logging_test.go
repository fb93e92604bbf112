package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/stepward/stepward/cmd/stepward/internal/output"
	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/config"
)

const unseen = "\u0085\u009b\u202e\u2066\u2028\u200e\ufeff"

// What a client has written is in a log line with every character to be seen, and still
// the same text to a program.
func TestLogLinesShowEveryCharacter(t *testing.T) {
	file := filepath.Join(t.TempDir(), "decisions.log")
	l, err := newLogging(t.Context(), config.Log{Level: "info", Decisions: "file", File: file, MaxSize: 1 << 20,
		MaxFiles: 1}, "", func(string) { t.Error("a line was dropped") })
	if err != nil {
		t.Fatal(err)
	}
	l.decisions.Info("decision", zap.String("path", "/"+unseen), zap.String("subject", "alice\r\n\x1b[31m"))
	l.close()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var line map[string]string
	if err := json.Unmarshal(text, &line); err != nil || line["path"] != "/"+unseen {
		t.Errorf("%s: %v", text, err)
	}
	if strings.ContainsAny(string(text), unseen+"\x1b\r") || bytes.Count(text, []byte("\n")) != 1 {
		t.Errorf("%q", text)
	}
}

// What is printed commands nothing to the terminal, and forges no line.
func TestDecisionsOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := &output.Painter{Out: &out, Colour: true}
	p.Decision(explain.Explanation{
		Request: explain.Request{Method: "GET\n" + unseen, Asked: "/%2561" + `\x1b`}, Token: &explain.Token{
			Subject: "alice\x1b[2J\n" + unseen},
		Answer: explain.Answer{Result: "deny", Reason: "request_ambiguous", Status: 400},
	})
	text := out.String()
	for _, colour := range []string{"0", "1", "2", "31", "32", "33", "34"} {
		text = strings.ReplaceAll(text, "\x1b["+colour+"m", "")
	}
	if strings.ContainsAny(text, unseen+"\x1b") || strings.Count(text, "\n") != 1 || !strings.Contains(text, "/%2561") {
		t.Errorf("%q", text)
	}
	root := newRootCommand()
	for name, w := range map[string]any{"stdout": root.OutOrStdout(), "stderr": root.ErrOrStderr()} {
		if w == os.Stdout || w == os.Stderr {
			t.Errorf("%s is written as it comes", name)
		}
	}
}

// A command that only asks a running service reads a configuration that serve takes with
// every permission there is.
func TestAskingPermitsWhatTheServiceWasPermitted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "stepward.yaml")
	text := "listen: 0.0.0.0:9191\ncontrol: unix:///run/s\nissuers: []\npolicy: { default: true }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var asking controlled
	asking.add(&cobra.Command{})
	asking.file = file
	if _, err := asking.client(); err != nil {
		t.Error(err)
	}
	var serving configFlags
	serving.addServing(&cobra.Command{})
	serving.file = file
	if _, err := serving.load(); err == nil {
		t.Error("serve takes it without a flag")
	}
}
