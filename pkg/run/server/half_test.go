package server_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/run/server"
)

// guarded returns a policy that refuses everybody, by a file of its own and by data.
func guarded() map[string]string {
	all := variant("a")
	all["policy/policy.rego"] = "package stepward.policy\n\nimport rego.v2\n\nrequire contains {\"level\": \"anonymous\"}\n\ndeny contains {\"code\": \"data\"} if input.request.path in data.stopped\n"
	all["policy/deny.rego"] = "package stepward.policy\n\nimport rego.v2\n\ndeny contains {\"code\": \"file\"} if input.request.path == \"/file\"\n"
	all["policy/stopped.yaml"] = "stopped:\n- /x\n- /data\n"
	return all
}

// stepped returns a folder that is served by a clock that only the test moves. looks counts the
// looks at it since it is served.
func stepped(t *testing.T, all map[string]string) (f folder, tick func(), looks *atomic.Int64) {
	t.Helper()
	idp, err := testidp.New(testidp.Options{Issuer: "https://idp.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, all)
	write(t, dir, map[string]string{"keys.json": string(idp.JWKS())})
	var now, read atomic.Int64
	looks = &atomic.Int64{}
	now.Store(time.Now().Add(time.Minute).UnixNano())
	tick = func() { now.Add(int64(files.Rest)) }
	var enforced atomic.Bool
	o := server.Options{
		Enforce: func(config.Config) { enforced.Store(true) },
		Reload: func(l *files.Look) (config.Config, error) {
			if enforced.Load() {
				defer read.Add(1)
			}
			return config.Load(filepath.Join(dir, "stepward.yaml"), config.Options{Look: l})
		},
		// A look is over once the time of its end has been taken: only then may the clock move.
		Terms: files.Terms{Now: func() time.Time {
			at := now.Load()
			looks.Store(read.Load())
			return time.Unix(
				0, at)
		},
			Sleep: func(_ context.Context, _ time.Duration) error { tick(); return nil }},
	}
	c, err := o.Reload(files.NewLook())
	if err != nil {
		t.Fatal(err)
	}
	f = folder{dir: dir, running: run(t, c, o)}
	eventually(t, "ready", f.Ready)
	return f, tick, looks
}

// Half of what somebody writes never decides, not even on SIGHUP: as long as the clock
// stands still nothing has settled, and the old policy stays in force. Once the rest is
// there, everything is accepted as a whole.
func TestHalfWritten(t *testing.T) {
	all := guarded()
	text := all["stepward.yaml"]
	for name, half := range map[string]map[string]string{
		"configuration, empty":             {"stepward.yaml": ""},
		"configuration, cut before policy": {"stepward.yaml": text[:strings.Index(text, "policy:")]},
		"configuration, another policy": {"stepward.yaml": strings.Replace(text, "paths: [policy]", "default: true",
			1)},
		"policy, a file of two":      {"policy/deny.rego": "-"},
		"policy, a half of a file":   {"policy/deny.rego": "package stepward.policy\n"},
		"policy, empty":              {"policy/deny.rego": ""},
		"policy, another file first": {"policy/deny.rego": "-", "policy/new.rego": "package stepward.policy\n"},
		"data, cut":                  {"policy/stopped.yaml": "stopped:\n- /x\n"},
		"data, empty":                {"policy/stopped.yaml": ""},
		"data, gone":                 {"policy/stopped.yaml": "-"},
		"keys, empty":                {"keys.json": ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, tick, looks := stepped(t, all)
			stopped := func(when string) {
				t.Helper()
				for _, path := range []string{"/data", "/file"} {
					if f.check(t, path, nil).GetStatus().GetCode() == 0 {
						t.Fatalf("%s is let through %s", path, when)
					}
				}
			}
			stopped("at first")
			if f.check(t, "/free", nil).GetStatus().GetCode() != 0 {
				t.Fatal("everything is stopped")
			}
			keys, err := os.ReadFile(filepath.Join(f.dir, "keys.json"))
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "a look at the whole", func() bool { return looks.Load() > 0 })
			before := looks.Load()
			place(t, f.dir, half)
			tick() // once: the next look is of use again, and nothing that it sees has been seen before
			f.Reload()
			eventually(t, "a look at the half", func() bool { return looks.Load() > before })
			stopped("by a half")
			for name := range half {
				whole := all[name]
				if name == "keys.json" {
					whole = string(keys)
				}
				if whole == "" {
					whole = "-"
				}
				place(t, f.dir, map[string]string{name: whole})
			}
			write(t, f.dir, map[string]string{
				"policy/mark.rego": "package stepward.policy\n\nimport rego.v2\n\nmetadata[\"whole\"] := true\n"})
			eventually(t, "the whole", func() bool {
				stopped("on the way to the whole")
				tick()
				return f.check(t, "/free",
					nil).GetDynamicMetadata().GetFields()["policy"].GetStructValue().GetFields()["whole"].GetBoolValue()
			})
			stopped("by the whole")
		})
	}
}

// Data whose file is from tomorrow is as old as can be.
func TestDataOfTomorrow(t *testing.T) {
	all := variant("a")
	all["stepward.yaml"] = strings.Replace(all["stepward.yaml"], "[policy]", "[policy, risk.json]", 1) +
		"data: { max_age: { risk: 1h } }\n"
	all["policy/policy.rego"] = "package stepward.policy\n\nimport rego.v2\n\nrequire contains {\"level\": \"anonymous\"} if {\n\tnot data.stepward.unknown.risk\n\tdata.risk\n}\n\nrequire contains {\"level\": \"mfa\"} if data.stepward.unknown.risk\n"
	all["risk.json"] = `{"risk": {"alice": {"score": 1}}}`
	f := serveFolder(t, all, server.Options{})
	allowed := func() bool { return f.check(t, "/x", nil).GetStatus().GetCode() == 0 }
	if !allowed() {
		t.Fatal("refused while the data is believed")
	}
	at := func(when time.Time) {
		if err := os.Chtimes(filepath.Join(f.dir, "risk.json"), when, when); err != nil {
			t.Fatal(err)
		}
	}
	at(time.Now().Add(24 * time.Hour))
	eventually(t, "it is not believed", func() bool { return !allowed() })
	at(time.Now().Add(-time.Minute))
	eventually(t, "it is believed again", allowed)
}
