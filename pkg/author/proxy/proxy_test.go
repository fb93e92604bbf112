package proxy_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/stepward/stepward/pkg/author/proxy"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/request"
)

// plain is a Stepward with the configuration of the quickstart.
func plain() proxy.Service {
	return proxy.Service{Listen: "127.0.0.1:9191", Deadline: 150 * time.Millisecond, HeaderPrefix: "x-stepward-",
		Route: func(r request.Route) error {
			if l := r.Extensions["stepward.level"]; l != "" && l != "mfa" {
				return errors.New("level is not on the ladder")
			}
			for namespace, values := range r.Metadata {
				if namespace == "stepward" && values["level"] != nil && values["level"] != "mfa" {
					return errors.New("level is not on the ladder")
				}
				resources, _ := values["resources"].([]any)
				for _, o := range resources {
					if l := o.(map[string]any)["annotations"].(map[string]any)["stepward-level"]; l != nil &&
						l != "mfa" {
						return errors.New("level is not on the ladder")
					}
				}
			}
			return nil
		}}
}

func read(t *testing.T, names ...string) []proxy.File {
	t.Helper()
	var files []proxy.File
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, proxy.File{Name: name, Text: text})
	}
	return files
}

// What the project ships is clean: no finding and no warning.
func TestWhatIsShipped(t *testing.T) {
	for name, files := range map[string][]string{
		"envoy":   {"../../../envoy/envoy.yaml"},
		"compose": {"../../../examples/compose/envoy.yaml"},
		"istio": {"../../../envoy/istio/mesh.yaml", "../../../envoy/istio/policy.yaml",
			"../../../envoy/istio/namespaces.yaml", "../../../envoy/istio/gateway.yaml"},
		"ambient": {"../../../envoy/istio/mesh.yaml", "../../../envoy/istio/ambient/policy.yaml",
			"../../../envoy/istio/ambient/namespaces.yaml"},
		"gateway": {"../../../envoy/gateway/stepward.yaml", "../../../envoy/gateway/routes.yaml"},
		"contour": {"../../../envoy/contour/stepward.yaml"},
		"route":   {"../../../envoy/gateway-api/route.yaml"},
	} {
		s := plain()
		switch name {
		case "compose":
			s.Listen = "0.0.0.0:9191"
		case "istio", "ambient":
			s.Listen = ":9191"
		case "gateway", "contour", "route":
			s.Listen, s.TLS = ":9191", true
		}
		findings, warnings := proxy.Check(read(t, files...), s)
		for _, f := range slices.Concat(findings, warnings) {
			t.Errorf("%s: %s", name, f)
		}
	}
}

// edit is a case of testdata/broken.txtar: what is changed in which files, for which
// Stepward, and where that must be found.
type edit struct {
	files     []string
	service   proxy.Service // that the good file is for
	broken    proxy.Service // that the bad one is for
	drop      string        // from the bad file, too
	old       string        // in one of the files
	bad, good string        // in its place
	at        string        // what stands at the place of the finding
	says      string        // in the message
}

// Each kind of trouble is found where it stands, and its good twin is clean.
func TestBroken(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/broken.txtar")
	if err != nil {
		t.Fatal(err)
	}
	rules, tried := map[string]proxy.Rule{}, map[string]bool{}
	for _, r := range proxy.Rules() {
		rules[r.Code] = r
	}
	for _, c := range archive.Files {
		code, _, _ := strings.Cut(c.Name, " ")
		tried[code] = true
		t.Run(c.Name, func(t *testing.T) {
			e := parse(t, string(c.Data))
			r, known := rules[code]
			if !known {
				t.Fatalf("there is no rule %s", code)
			}
			findings, warnings := proxy.Check(e.change(t, or(e.good, e.old), ""), e.service)
			for _, f := range slices.Concat(findings, warnings) {
				t.Errorf("the good twin: %s", f)
			}
			files := e.change(t, or(e.bad, e.old), e.drop)
			findings, warnings = proxy.Check(files, e.broken)
			among := warnings
			if r.Refused {
				among = findings
			}
			i := slices.IndexFunc(among, func(f finding.Finding) bool { return f.Code == code })
			if i < 0 {
				t.Fatalf("not found among %v %v", findings, warnings)
			}
			f := among[i]
			if got := place(files, f); !strings.HasPrefix(got, e.at) || e.at == "" {
				t.Errorf("found at %.60q; want %q", got, e.at)
			}
			if !strings.Contains(f.Message, e.says) || f.Hint == "" || r.Refused == (f.Severity == finding.Warning) {
				t.Errorf("%s", f)
			}
			if fixed, n := (finding.List{f}).Apply(f.File, text(files, f.File)); f.Fix != nil {
				again, _ := proxy.Check([]proxy.File{{Name: f.File, Text: fixed}}, e.broken)
				if n != 1 || slices.ContainsFunc(again, func(g finding.Finding) bool { return g.Code == code }) {
					t.Errorf("the fix does not help: %d, %v", n, again)
				}
			}
		})
	}
	for code := range rules {
		if !tried[code] {
			t.Errorf("no case for %s", code)
		}
	}
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func parse(t *testing.T, data string) edit {
	t.Helper()
	e := edit{service: plain(), broken: plain()}
	for line := range strings.Lines(data) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		only, bad := strings.CutPrefix(key, "bad-")
		switch key {
		case "":
		case "in":
			for name := range strings.FieldsSeq(value) {
				e.files = append(e.files, filepath.Join("../../../envoy", name))
			}
			e.deploy(value)
		case "-":
			e.old = value
		case "+":
			e.bad = strings.TrimPrefix(e.bad+"\n"+value, "\n")
		case "=":
			e.good = strings.TrimPrefix(e.good+"\n"+value, "\n")
		case "at":
			e.at = value
		case "says":
			e.says = value
		case "drop":
			e.drop = value
		default:
			if !bad {
				needs(t, &e.service, only, value)
			}
			needs(t, &e.broken, only, value)
		}
	}
	return e
}

// deploy makes Stepward what the recipe of those files makes of it, and adds what Istio's
// recipes say in other files.
func (e *edit) deploy(files string) {
	for _, s := range []*proxy.Service{&e.service, &e.broken} {
		if !strings.Contains(files, "envoy.yaml") {
			s.Listen = ":9191"
			s.TLS = !strings.Contains(files, "istio/")
		}
	}
	if !strings.Contains(files, "istio/") {
		return
	}
	for _, name := range []string{"istio/mesh.yaml", "istio/namespaces.yaml"} {
		if !strings.Contains(files, name) && !strings.Contains(files, strings.Replace(name, "istio/", "istio/ambient/",
			1)) {
			e.files = append(e.files, filepath.Join("../../../envoy", name))
		}
	}
}

func needs(t *testing.T, s *proxy.Service, key, value string) {
	t.Helper()
	switch key {
	case "reads":
		s.Reads = append(s.Reads, strings.Split(value, "."))
	case "sets":
		s.Headers = append(s.Headers, value)
	case "listen":
		s.Listen = value
	case "hops":
		s.TrustedHops, _ = strconv.Atoi(value)
	case "tls":
		s.TLS, s.ClientCertificate = true, value == "mutual"
	case "plain":
		s.TLS = false
	default:
		t.Fatalf("%q is none of a case's", key)
	}
}

// change puts text in place of e.old, its further lines as deep as the first.
func (e edit) change(t *testing.T, text, drop string) []proxy.File {
	t.Helper()
	files := read(t, e.files...)
	for i, f := range files {
		before, after, there := strings.Cut(string(f.Text), e.old)
		if !there {
			continue
		}
		line := before[strings.LastIndex(before, "\n")+1:]
		indent := line[:len(line)-len(strings.TrimLeft(line, " -"))]
		text = strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", len(indent)))
		files[i].Text = []byte(strings.Replace(before+text+after, drop, "", 1))
		return files
	}
	t.Fatalf("%q is in none of %q", e.old, e.files)
	return nil
}

func text(files []proxy.File, name string) []byte {
	for _, f := range files {
		if f.Name == name {
			return f.Text
		}
	}
	return nil
}

func place(files []proxy.File, f finding.Finding) string {
	lines := strings.Split(string(text(files, f.File)), "\n")
	if f.Line > len(lines) || f.Column > len(lines[f.Line-1]) {
		return ""
	}
	return lines[f.Line-1][f.Column-1:]
}

// A rule that is printed is one that is taken back, for names of every kind, and no
// wider than it must be.
func TestMutationRule(t *testing.T) {
	for _, c := range []struct {
		prefix  string
		headers []string
	}{{"x-stepward-", nil}, {"x-a-", []string{"x-tenant", "x_odd", "x.dot", "a+b", "c^d$", "risk"}}} {
		rule := proxy.MutationRule(c.prefix, c.headers)
		s := plain()
		s.HeaderPrefix, s.Headers = c.prefix, c.headers
		files := read(t, "../../../envoy/envoy.yaml")
		before, after, _ := strings.Cut(string(files[0].Text), "              decoder_header_mutation_rules:")
		_, after, _ = strings.Cut(after, "# To let policies")
		files[0].Text = []byte(before + "              " + strings.ReplaceAll(strings.TrimSpace(rule), "\n",
			"\n              ") + "\n              # To let policies" + after)
		if findings, warnings := proxy.Check(files, s); len(findings)+len(warnings) > 0 {
			t.Errorf("%s\n%v %v", rule, findings, warnings)
		}
		s.Headers = append(s.Headers, "x-other")
		if findings, _ := proxy.Check(files, s); len(findings) != 1 || findings[0].Code != "mutation_rule" {
			t.Errorf("a name that it does not permit: %v", findings)
		}
	}
}

// One trouble, in every form in which files hold it.
func TestForms(t *testing.T) {
	mesh := "extensionProviders:\n- name: s\n  envoyExtAuthzGrpc: { service: s, port: 9191, timeout: 0.25s, failOpen: true, statusOnError: \"503\" }\npathNormalization: { normalization: DECODE_AND_MERGE_SLASHES }\n"
	deep := strings.ReplaceAll("\n"+strings.TrimSpace(mesh), "\n", "\n    ")
	filter := `{"@type":"type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz","transportApiVersion":"V3","failureModeAllow":true}`
	manager := `{"@type":"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager","httpFilters":[{"name":"a","typedConfig":` + filter + `}]}`
	listener := `{"@type":"type.googleapis.com/envoy.config.listener.v3.Listener","filterChains":[{"filters":[{"name":"m","typedConfig":` + manager + `}]}]}`
	for name, text := range map[string]string{
		"a mesh configuration": mesh,
		"values of Helm":       "meshConfig:" + deep,
		"a ConfigMap":          "apiVersion: v1\nkind: ConfigMap\ndata:\n  mesh: |" + deep + "\n",
		"a ConfigMap, folded":  "apiVersion: v1\nkind: ConfigMap\ndata:\n  mesh: " + strconv.Quote(mesh) + "\n",
		"an IstioOperator": "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n  meshConfig:" +
			deep,
		"a list":               "apiVersion: v1\nkind: List\nitems:\n- apiVersion: install.istio.io/v1alpha1\n  kind: IstioOperator\n  spec:\n    meshConfig:" + strings.ReplaceAll(deep, "\n", "\n  "),
		"a second document":    "apiVersion: v1\nkind: Service\n---\n" + mesh,
		"an anchor":            "x: &x { service: s, port: 9191, timeout: 0.25s, failOpen: true, statusOnError: \"503\" }\nextensionProviders: [ { name: s, envoyExtAuthzGrpc: *x } ]\n",
		"a merge":              "x: &x { failOpen: true }\nextensionProviders: [ { name: s, envoyExtAuthzGrpc: { <<: *x, service: s, port: 9191 } } ]\n",
		"a listener":           listener,
		"a config dump":        `{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump","dynamicListeners":[{"name":"l","activeState":{"listener":` + listener + `}}]}]}`,
		"a discovery response": `{"versionInfo":"1","resources":[` + listener + `]}`,
		"a static bootstrap": `{"staticResources":{"listeners":[` + strings.Replace(
			listener, `"@type":"type.googleapis.com/envoy.config.listener.v3.Listener",`, "", 1) + `]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			files := []proxy.File{{Name: "f", Text: []byte(text)}}
			findings, _ := proxy.Check(files, plain())
			if len(findings) != 1 || findings[0].Code != "fail_open" {
				t.Fatalf("%v", findings)
			}
			if at := place(files, findings[0]); name != "a ConfigMap, folded" && !strings.HasPrefix(at, "true") {
				t.Errorf("found at %.40q", at)
			}
			good, _ := proxy.Check([]proxy.File{
				{Name: "f", Text: []byte(
					strings.ReplaceAll(strings.ReplaceAll(text, "failOpen: true", "failOpen: false"),
						`"failureModeAllow":true`, `"failureModeAllow":false`))}}, plain())
			if len(good) > 0 {
				t.Errorf("the good twin: %v", good)
			}
		})
	}
}

// Routes that come by themselves belong to the manager that names them.
func TestRoutesByName(t *testing.T) {
	const text = `{"configs":[
{"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump","staticListeners":[{"listener":{"@type":"type.googleapis.com/envoy.config.listener.v3.Listener","filterChains":[{"filters":[{"name":"m","typedConfig":
 {"@type":"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager","rds":{"routeConfigName":"r"},"httpFilters":[{"name":"a","typedConfig":
  {"@type":"type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz","transportApiVersion":"V3"}}]}}]}]}}]},
{"@type":"type.googleapis.com/envoy.admin.v3.RoutesConfigDump","dynamicRouteConfigs":[{"routeConfig":{"@type":"type.googleapis.com/envoy.config.route.v3.RouteConfiguration","name":"r","virtualHosts":[{"name":"v","domains":["*"],"routes":[{"match":{"prefix":"/"},"route":{"cluster":"c"},"typedPerFilterConfig":{"a":{"@type":"type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute","disabled":true}}}]}]}}]}]}`
	findings, _ := proxy.Check([]proxy.File{{Name: "dump.json", Text: []byte(text)}}, plain())
	if len(findings) != 1 || findings[0].Code != "route_unasked" || findings[0].Line != 5 {
		t.Errorf("%v", findings)
	}
}

// Files that are none, and files made to hurt, are findings.
func TestHostileFiles(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 9), ",") +
			"]\n"
	}
	for name, text := range map[string]string{
		"nothing": "", "a word": "x", "a list": "- a", "a member twice": "static_resources: {}\nstatic_resources: {}\n",
		"itself": "static_resources: &a { listeners: [ *a ] }",
		"a bomb": bomb + "static_resources: { listeners: *i }\n", "deep": strings.Repeat("[", 20000),
		"no listeners": "static_resources: { listeners: [] }", "null": "static_resources: ~", "binary": "\x00\x01\xff",
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan []finding.Finding, 1)
			go func() {
				findings, _ := proxy.Check([]proxy.File{{Name: "f", Text: []byte(text)}}, plain())
				done <- findings
			}()
			if findings := wait.For(t, "an end", done); len(findings) == 0 {
				t.Error("nothing found")
			}
		})
	}
}

// Whatever a file holds, looking at it ends with a list of places that are there.
func FuzzCheck(f *testing.F) {
	f.Add("extensionProviders: [ { name: s, envoyExtAuthzGrpc: { port: 1, failOpen: true } } ]")
	f.Add(
		`{"@type":"envoy.config.listener.v3.Listener","filterChains":[{"filters":[{"typedConfig":{"@type":"http_connection_manager.v3.HttpConnectionManager","httpFilters":[{"typedConfig":{"@type":"ext_authz.v3.ExtAuthz"}}]}}]}]}`)
	f.Add("apiVersion: v1\nkind: ConfigMap\ndata: { mesh: \"extensionProviders: []\" }")
	f.Add("static_resources: { clusters: [ { name: a, connect_timeout: 1s } ] }")
	f.Fuzz(func(t *testing.T, text string) {
		s := plain()
		s.Reads = [][]string{{"request", "body"}, {"route", "metadata"}}
		findings, warnings := proxy.Check([]proxy.File{{Name: "f", Text: []byte(text)}}, s)
		for _, x := range slices.Concat(findings, warnings) {
			if x.Line < 1 || x.Column < 1 || x.Code == "" {
				t.Errorf("%+v", x)
			}
		}
	})
}
