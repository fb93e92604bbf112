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

// declared lists the metrics that this package declares.
func declared(t *testing.T) []series {
	t.Helper()
	var all []series
	for _, file := range []string{"declare.go", "metrics.go", "collectors.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if s, ok := declaration(call); ok {
					all = append(all, s)
				}
			}
			return true
		})
	}
	slices.SortFunc(all, func(a, b series) int { return strings.Compare(a.name, b.name) })
	if len(all) < 15 {
		t.Fatalf("only %d metrics found", len(all))
	}
	return all
}

// kinds are the kinds of metrics, by the functions that declare them. What NewDesc
// describes is made when metrics are read; all such are gauges.
var kinds = map[string]string{"counter": "counter", "gauge": "gauge", "gaugeFunc": "gauge", "histogram": "histogram",
	"NewDesc": "gauge"}

// declaration returns the metric that a call declares.
func declaration(call *ast.CallExpr) (series, bool) {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || kinds[f.Sel.Name] == "" || len(call.Args) < 2 {
		return series{}, false
	}
	texts := literals(call.Args[:2])
	s := series{kind: kinds[f.Sel.Name], name: texts[0], help: texts[1]}
	labels := call.Args[2:]
	if f.Sel.Name == "NewDesc" {
		labels = call.Args[2].(*ast.CompositeLit).Elts
	}
	if f.Sel.Name != "gaugeFunc" {
		s.labels = literals(labels)
	}
	return s, true
}

// literals returns texts that the source writes out.
func literals(list []ast.Expr) []string {
	var texts []string
	for _, e := range list {
		text, _ := strconv.Unquote(e.(*ast.BasicLit).Value)
		texts = append(texts, text)
	}
	return texts
}

func TestReferenceMetrics(t *testing.T) {
	var b strings.Builder
	b.WriteString(
		"# Metrics\n\nWritten by `make docs` from `pkg/run/telemetry`. Served at `/metrics` of the admin\naddress. No label is chosen by a client: there is none with a path, user or token.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, s := range declared(t) {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.name, s.kind, strings.Join(s.labels, ", "), s.help)
	}
	b.WriteString(
		"\nBeside these there are `grpc_server_started_total`, `grpc_server_handled_total`,\n`grpc_server_handling_seconds`, `grpc_server_msg_received_total` and\n`grpc_server_msg_sent_total` of the Check listener, and those of the Go runtime\n(`go_…`) and the process (`process_…`).\n")
	golden.Check(t, "../../../docs/reference/metrics.md", b.String())
}

func TestReferenceLog(t *testing.T) {
	var b strings.Builder
	b.WriteString(
		"# Decision log\n\nWritten by `make docs` from `pkg/run/telemetry`. One line of JSON for each decision; a\nmember that says nothing is left out. It never holds a token, a cookie, a code or a\nquery string.\n\n| member | meaning |\n|---|---|\n| `ts` `level` `msg` | time, `info` (`warn` for our own faults), `decision` |\n")
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
		if name == s.name || s.kind == "histogram" && slices.Contains(
			[]string{s.name + "_bucket", s.name + "_sum", s.name + "_count"}, name) {
			return true
		}
	}
	return slices.Contains([]string{
		"grpc_server_handled_total", "grpc_server_handling_seconds_bucket", "process_resident_memory_bytes",
		"go_goroutines", "process_cpu_seconds_total",
		"envoy_http_ext_authz_error", "envoy_http_ext_authz_failure_mode_allowed", "envoy_http_ext_authz_ok",
		"envoy_http_ext_authz_denied",
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
			if !strings.Contains(string(runbook), "\n## "+r.Alert+"\n") || r.Annotations["summary"] == "" ||
				r.Labels["severity"] == "" {
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
