package telemetry

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/internal/golden"
)

// series is a metric as the source declares it.
type series struct {
	name, kind, help string
	labels           []string
}

// declared are the metrics that metrics.go declares.
func declared(t *testing.T) []series {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "metrics.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []series
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		if ok && f.Sel.Name == "NewDesc" {
			all = append(all, described(call))
			return true
		}
		opts, isOpts := call.Args[0].(*ast.CompositeLit)
		if !ok || !isOpts || !strings.HasPrefix(f.Sel.Name, "New") {
			return true
		}
		s := series{kind: strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(f.Sel.Name, "New"), "Vec"), "Func"))}
		for _, e := range opts.Elts {
			kv := e.(*ast.KeyValueExpr)
			if value, ok := kv.Value.(*ast.BasicLit); ok {
				text, _ := strconv.Unquote(value.Value)
				switch kv.Key.(*ast.Ident).Name {
				case "Name":
					s.name = text
				case "Help":
					s.help = text
				}
			}
		}
		if len(call.Args) > 1 {
			if labels, ok := call.Args[1].(*ast.CompositeLit); ok {
				for _, e := range labels.Elts {
					text, _ := strconv.Unquote(e.(*ast.BasicLit).Value)
					s.labels = append(s.labels, text)
				}
			}
		}
		if s.name != "" {
			all = append(all, s)
		}
		return true
	})
	slices.SortFunc(all, func(a, b series) int { return strings.Compare(a.name, b.name) })
	if len(all) < 15 {
		t.Fatalf("only %d metrics found", len(all))
	}
	return all
}

// described is a metric that is made when metrics are read; all such are gauges.
func described(call *ast.CallExpr) series {
	s := series{kind: "gauge"}
	s.name, _ = strconv.Unquote(call.Args[0].(*ast.BasicLit).Value)
	s.help, _ = strconv.Unquote(call.Args[1].(*ast.BasicLit).Value)
	for _, e := range call.Args[2].(*ast.CompositeLit).Elts {
		text, _ := strconv.Unquote(e.(*ast.BasicLit).Value)
		s.labels = append(s.labels, text)
	}
	return s
}

func TestReferenceMetrics(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Metrics\n\nWritten by `make docs` from `pkg/run/telemetry`. Served at `/metrics` of the admin\naddress. No label is chosen by a client: there is none with a path, user or token.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, s := range declared(t) {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.name, s.kind, strings.Join(s.labels, ", "), s.help)
	}
	b.WriteString("\nBeside these there are `grpc_server_started_total`, `grpc_server_handled_total`,\n`grpc_server_handling_seconds`, `grpc_server_msg_received_total` and\n`grpc_server_msg_sent_total` of the Check listener, and those of the Go runtime\n(`go_…`) and the process (`process_…`).\n")
	golden.Check(t, "../../../docs/reference/metrics.md", b.String())
}

func TestReferenceLog(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Decision log\n\nWritten by `make docs` from `pkg/run/telemetry`. One line of JSON for each decision; a\nmember that says nothing is left out. It never holds a token, a cookie, a code or a\nquery string.\n\n| member | meaning |\n|---|---|\n| `ts` `level` `msg` | time, `info` (`warn` for our own faults), `decision` |\n")
	for _, f := range Fields {
		fmt.Fprintf(&b, "| `%s` | %s |\n", f.Name, f.Meaning)
	}
	golden.Check(t, "../../../docs/reference/decision-log.md", b.String())
}

// Every member that the source writes is explained, and nothing else is.
func TestEveryFieldIsExplained(t *testing.T) {
	source, err := os.ReadFile("event.go")
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:zap\.\w+|text)\("([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		written[m[1]] = true
	}
	for _, f := range Fields {
		if !written[f.Name] {
			t.Errorf("%s is explained and never written", f.Name)
		}
		delete(written, f.Name)
	}
	for name := range written {
		t.Errorf("%s is written and not explained", name)
	}
}

var metricName = regexp.MustCompile(`\b(stepward|grpc_server|envoy|process|go)_[a-z_]+\b`)

// known reports whether a query's metric exists.
func known(t *testing.T, name string) bool {
	for _, s := range declared(t) {
		if name == s.name || s.kind == "histogram" && slices.Contains([]string{s.name + "_bucket", s.name + "_sum", s.name + "_count"}, name) {
			return true
		}
	}
	return slices.Contains([]string{
		"grpc_server_handled_total", "grpc_server_handling_seconds_bucket", "process_resident_memory_bytes", "go_goroutines", "process_cpu_seconds_total",
		"envoy_http_ext_authz_error", "envoy_http_ext_authz_failure_mode_allowed", "envoy_http_ext_authz_ok", "envoy_http_ext_authz_denied",
	}, name)
}

// The dashboard and the alerts ask only for what there is, and every alert has its
// line in the runbook.
func TestDashboardAndAlerts(t *testing.T) {
	const dir = "../../../docs/observability"
	text, err := os.ReadFile(filepath.Join(dir, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Title  string
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			queries["panel "+p.Title] += target.Expr + "\n"
		}
	}
	var alerts struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr         string
				Labels, Annotations map[string]string
			}
		}
	}
	if text, err = os.ReadFile(filepath.Join(dir, "alerts.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &alerts); err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile("../../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range alerts.Groups {
		for _, r := range g.Rules {
			queries["alert "+r.Alert] = r.Expr
			if !strings.Contains(string(runbook), "\n## "+r.Alert+"\n") || r.Annotations["summary"] == "" || r.Labels["severity"] == "" {
				t.Errorf("%s has no section in the runbook, summary or severity", r.Alert)
			}
		}
	}
	if len(queries) < 15 {
		t.Fatalf("only %d queries", len(queries))
	}
	asked := map[string]bool{}
	for where, query := range queries {
		names := metricName.FindAllString(query, -1)
		if len(names) == 0 {
			t.Errorf("%s asks for nothing", where)
		}
		for _, name := range names {
			asked[name] = true
			if !known(t, name) {
				t.Errorf("%s asks for %s, which there is not", where, name)
			}
		}
	}
	for _, s := range declared(t) {
		if s.kind != "histogram" && !asked[s.name] && !strings.HasSuffix(s.name, "_timestamp_seconds") {
			t.Errorf("nobody looks at %s", s.name)
		}
	}
}
