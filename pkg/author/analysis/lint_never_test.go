package analysis_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/analysis"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
)

// slip is a text that a member never is, or of which it never has that part, and one that
// it may be.
type slip struct{ field, bad, good string }

var (
	wholeSlips = []slip{
		{"input.request.method", "delete", "DELETE"}, {"input.request.method", "Post", "POST"},
		{"input.request.method", "CONNECT", "PROPFIND"}, {"input.request.method", "", "GET"},
		{"input.request.path", "admin", "/admin"}, {"input.request.path", "/a//b", "/a/b"},
		{"input.request.path", "/a%20b", "/a b"}, {"input.request.path", "/a/../b", "/b"},
		{"input.request.path", `/a\b`, "/a/b"},
		{"input.request.path", "/a;x=1", "/a"}, {"input.request.path", "", "/"},
		{"input.request.segments[0]", "/x", "x"}, {"input.request.segments[1]", "a/b", "a"},
		{"input.request.segments[0]", "%2e", "e"}, {"input.request.segments[0]", "..", "..."},
		{"input.request.segments[0]", "", "x"},
		{"input.request.host", "App.example.com", "app.example.com"}, {"input.request.host", "app.example.com.",
			"app.example.com:8443"}, {"input.request.host", "https://app.example.com", "[::1]"},
		{"input.request.host", "*.example.com", "a"},
		{"input.request.kind", "navigate", "navigation"}, {"input.request.scheme", "HTTPS", "https"},
		{"input.request.protocol", "HTTP/2.0", "HTTP/2"}, {"input.request.body.state", "ok", "json"},
		{"input.request.raw_path", "a", "/a%20b"}, {"input.request.raw_path", "/a?x", "/a"},
		{"input.token.principal", "service", "client"}, {"input.token.scheme", "Bearer", "bearer"},
		{"input.token.levels[0]", "Mfa", "mfa"}, {"input.token.levels[1]", "anonymous", "authenticated"},
		{"input.token.issuer_name", "corporation", "corp"}, {"input.token.issuer", "https://idp.example.com/",
			"https://idp.example.com"},
		{"input.source.address", "10.0.0.0/8", "10.0.0.1"}, {"input.source.client_address", "10.0.0.1:80", "::1"},
		{"lower(input.request.path)", "/Admin", "/admin"}, {"upper(input.request.headers[\"x-a\"])", "a", "A"},
	}
	startSlips = []slip{
		{"input.request.path", "admin", "/admin"}, {"input.request.path", "//", "/"},
		{"input.request.path", "/a%2fb", "/a"}, {"input.request.path", "/a/../", "/a/.well"},
		{"input.request.raw_path", "a", "/a%2f"},
		{"input.request.segments[0]", "/x", "x"}, {"input.request.host", "App", "app."},
		{"input.request.method", "g", "G"}, {"input.request.kind", "sub-", "sub"}, {"input.token.issuer", "http://idp",
			"https://"},
	}
	endSlips = []slip{
		{"input.request.path", "//", "/"}, {"input.request.path", "%20", "20"}, {"input.request.segments[0]", "/x",
			".x"}, {"input.request.host", ".Example.com", ".example.com"}, {"input.request.method", "e", "E"},
	}
	containsSlips = []slip{
		{"input.request.path", "/../", "/..a"}, {"input.request.path", "%2e", "%"}, {"input.request.segments[2]", "a/b",
			"ab"}, {"input.request.host", "/", "."}, {"input.request.kind", "x", "gat"},
	}
)

// ways in which a policy compares a member and a text: F is the member and V the text,
// quoted.
var (
	wholeWays = []string{
		"F == V", "V == F", "F in {V}", "F in [V]", "F in {\"a\": V}", "not F == V", "F != V", "not F in {V}",
		"{\n\tx := F\n\tx == V\n}", "{\n\tv := V\n\tF == v\n}", "F == lit\nlit := V", "F in lits\nlits := {V}",
		"f(F)\nf(x) if x == V", "g(F)\ng(x) if f(x)\nf(x) if {\n\ty := x\n\ty == V\n}", "count([1 | F == V]) > 0",
		"{\n\tsome v in [V]\n\tF == v\n}", "helper\nhelper if F == V", "1 == h\nh := 2 if F == V else := 1",
		"every x in [1] {\n\tx == 1\n\tF == V\n}",
	}
	startWays = []string{"startswith(F, V)", "not startswith(F, V)", "{\n\tx := F\n\tstartswith(x, V)\n}",
		"f(F)\nf(x) if startswith(x, V)", "count([1 | startswith(F, V)]) > 0",
		"{\n\tsome v in [V]\n\tstartswith(F, v)\n}", "startswith(F, V) == true"}
	endWays      = []string{"endswith(F, V)", "not endswith(F, V)", "f(F)\nf(x) if endswith(x, V)"}
	containsWays = []string{"contains(F, V)", "not contains(F, V)", "{\n\tx := F\n\tcontains(x, V)\n}",
		"f(F)\nf(x) if contains(x, V)"}
)

func lintOf(t *testing.T, text string, change func(*analysis.LintOptions)) finding.List {
	t.Helper()
	sources := []rego.Source{{Name: "p.rego", Text: []byte(text)}}
	opt := analysis.LintOptions{Options: rego.Options{Ladder: ladder(t)}, Issuers: []string{"https://idp.example.com"},
		IssuerNames: []string{"corp"}}
	if change != nil {
		change(&opt)
	}
	if _, err := rego.Load(t.Context(), sources, opt.Options); err != nil {
		t.Fatalf("%s\ndoes not load: %v", text, err)
	}
	return slices.DeleteFunc(analysis.Lint(sources, opt), func(f finding.Finding) bool { return f.Code != "enum" })
}

// Each slip is found, however the member is compared with the text, and possible texts are
// not reported.
func TestNever(t *testing.T) {
	for _, group := range []struct {
		slips []slip
		ways  []string
	}{{wholeSlips, wholeWays}, {startSlips, startWays}, {endSlips, endWays}, {containsSlips, containsWays}} {
		for _, s := range group.slips {
			for _, way := range group.ways {
				rule := func(v string) string {
					return baseline + "deny contains {\"code\": \"x\"} if " + strings.NewReplacer("F", s.field, "V",
						fmt.Sprintf("%q", v)).Replace(way)
				}
				found := lintOf(t, rule(s.bad), nil)
				if len(found) == 0 || found[0].Line < 4 || found[0].Column < 2 || found[0].Hint == "" ||
					found[0].Severity != finding.Warning {
					t.Errorf("%s, %q, as %q: %v", s.field, s.bad, way, found)
				} else if always := strings.HasPrefix(way, "not ") || strings.Contains(
					way, "!="); always != strings.Contains(found[0].Message, "always holds") {
					t.Errorf("%s: %s", way, found[0].Message)
				}
				if found := lintOf(t, rule(s.good), nil); len(found) > 0 {
					t.Errorf("%s, %q, as %q: found, too: %v", s.field, s.good, way, found)
				}
			}
		}
	}
}

// Of patterns, the pieces that must be there are judged; lists and members of lists too.
func TestNeverOthers(t *testing.T) {
	for bad, good := range map[string]string{
		`regex.match("^admin", input.request.path)`:                           `regex.match("^/admin", input.request.path)`,
		`regex.match("^/a%20b", input.request.path)`:                          `regex.match("(?i)^/A", input.request.path)`,
		`regex.match("^post$", input.request.method)`:                         `regex.match("^(POST|PUT)$", input.request.method)`,
		`glob.match("admin/*", ["/"], input.request.path)`:                    `glob.match("/admin/*", ["/"], input.request.path)`,
		`input.request.segments == ["a", "/b"]`:                               `input.request.segments == ["a", "b"]`,
		`split(input.request.path, "/")[0] == "admin"`:                        `split(input.request.path, "/")[1] == "admin"`,
		"{\n\tp := split(input.request.path, \"/\")\n\tp[0] == \"admin\"\n}":  "{\n\tp := split(input.request.path, \"/\")\n\tp[1] == \"admin\"\n}",
		"{\n\tp := split(input.request.path, \"/\")\n\tp[1] == \"/admin\"\n}": "{\n\tp := split(input.request.path, \"/\")\n\tp[0] == \"\"\n}",
		"{\n\tp := split(input.request.path, \"/\")\n\tp[1] == \"a%20b\"\n}":  "{\n\tp := split(input.request.path, \"/\")\n\tp[2] == \"\"\n}",
		`"/a" in split(input.request.path, "/")`:                              `"a" in split(input.request.path, "/")`,
		`input.request.method == "PST"`:                                       `input.request.method == "LOCK"`,
		`"/x" in input.request.segments`:                                      `"x" in input.request.segments`,
		`"Mfa" in input.token.levels`:                                         `"mfa" in input.token.levels`,
		`not "phishing_resistant" in input.token.levels`:                      `not "phishing-resistant" in input.token.levels`,
		"{\n\tsome s in input.request.segments\n\ts == \"/x\"\n}":             "{\n\tsome s in input.request.segments\n\ts == \"x\"\n}",
		"every s in input.request.segments {\n\ts != \"a/b\"\n}":              "every s in input.request.segments {\n\ts != \"b\"\n}",
		"{\n\tr := input.request\n\tr.method == \"get\"\n}":                   "{\n\tr := input.request\n\tr.method == \"GET\"\n}",
		`input.request.path == concat("", ["a", "/b"])`:                       `input.request.path == concat("", ["/a", "/b"])`,
		`input.request.method in {"GET", "post"}`:                             `input.request.method in {"GET", "POST"}`,
		`input.request.method in ({"GET"} | {"post"})`:                        `input.request.method in ({"GET"} | {"POST"})`,
		"input.request.method in safe\nsafe := {\"GET\", \"head\"}":           "input.request.method in safe\nsafe := {\"GET\", \"HEAD\"}",
	} {
		if found := lintOf(t, baseline+"deny contains {\"code\": \"x\"} if "+bad, nil); len(found) == 0 {
			t.Errorf("%s is not found", bad)
		}
		if found := lintOf(t, baseline+"deny contains {\"code\": \"x\"} if "+good, nil); len(found) > 0 {
			t.Errorf("%s is found: %v", good, found)
		}
	}
}

// What the configuration allows may be there, and where it says more, less may.
func TestNeverByConfiguration(t *testing.T) {
	for text, change := range map[string]func(*analysis.LintOptions){
		`input.request.segments[0] == "a/b"`: func(o *analysis.LintOptions) {
			o.Allow = []string{"encoded_slash"}
		},
		`input.request.path == "/a%2Fb"`: func(o *analysis.LintOptions) {
			o.Allow = []string{"encoded_slash"}
		},
		`input.request.path == "/a%20b"`: func(o *analysis.LintOptions) {
			o.Allow = []string{"double_encoding"}
		},
		`input.token.issuer_name == "other"`:        func(o *analysis.LintOptions) { o.IssuerNames = nil },
		`input.token.issuer == "https://other.org"`: func(o *analysis.LintOptions) { o.Issuers = nil },
	} {
		rule := baseline + "deny contains {\"code\": \"x\"} if " + text
		if found := lintOf(t, rule, change); len(found) > 0 {
			t.Errorf("%s: %v", text, found)
		}
		if found := lintOf(t, rule, nil); len(found) != 1 {
			t.Errorf("%s, without: %v", text, found)
		}
	}
	for _, text := range []string{`input.request.path == "/Admin"`, `startswith(input.request.path, "/Admin")`,
		`input.request.segments[0] == "Admin"`} {
		rule := baseline + "deny contains {\"code\": \"x\"} if " + text
		if found := lintOf(t, rule, func(o *analysis.LintOptions) { o.FoldPathCase = true }); len(found) != 1 {
			t.Errorf("%s under fold: %v", text, found)
		}
		if found := lintOf(t, rule, nil); len(found) > 0 {
			t.Errorf("%s: %v", text, found)
		}
	}
}

// What is said never to hold does not hold for any request that is let through to a policy.
func TestNeverIsNever(t *testing.T) {
	pieces := []string{"", "/", "a", "A", "%20", "%2e", "%", "..", ".", "b", "//", "?", "é", " ", "POST", "get", ":80",
		"app.example.com", "*"}
	var texts []string
	for _, a := range pieces {
		texts = append(texts, a)
		for _, b := range pieces {
			texts = append(texts, a+b, "/"+a+b, a+"/"+b)
		}
	}
	slices.Sort(texts)
	texts = slices.Compact(texts)
	values := everyRequest(texts)
	holds := map[string]func(v, s string) bool{"%s == %q": func(v, s string) bool { return v == s },
		"startswith(%s, %q)": strings.HasPrefix, "endswith(%s, %q)": strings.HasSuffix,
		"contains(%s, %q)": strings.Contains}
	told := 0
	for field, is := range values {
		for format, holds := range holds {
			text, lines := baseline, map[int]string{}
			for _, s := range texts {
				lines[strings.Count(text, "\n")+1] = s
				text += "deny contains {\"code\": \"x\"} if " + fmt.Sprintf(format, field, s) + "\n"
			}
			for _, f := range lintOf(t, text, nil) {
				if strings.Contains(f.Message, " hardly ever ") {
					continue
				}
				told++
				for v := range is {
					if s := lines[f.Line]; holds(v, s) {
						t.Errorf("%s: %s, and it is %q", fmt.Sprintf(format, field, s), f.Message, v)
						break
					}
				}
			}
		}
	}
	if told < 500 || len(values["input.request.path"]) < 100 {
		t.Errorf("%d told of %d paths", told, len(values["input.request.path"]))
	}
}

// everyRequest is what members are for the requests that can be made of texts.
func everyRequest(texts []string) map[string]map[string]bool {
	values := map[string]map[string]bool{"input.request.path": {}, "input.request.segments[_]": {},
		"input.request.method": {}, "input.request.host": {}, "input.request.raw_path": {}}
	try := func(raw request.Raw) {
		r, err := request.New(raw, request.Options{})
		if err != nil {
			return
		}
		d := policy.Input{Request: r}.Document("x-stepward-")["request"].(map[string]any)
		for _, name := range []string{"path", "method", "host", "raw_path"} {
			values["input.request."+name][d[name].(string)] = true
		}
		for _, s := range d["segments"].([]any) {
			values["input.request.segments[_]"][s.(string)] = true
		}
	}
	for _, s := range texts {
		for _, scheme := range []string{"http", "https"} {
			try(request.Raw{Method: "GET", Host: s, Target: "/", Scheme: scheme})
		}
		try(request.Raw{Method: s, Host: "a", Target: "/"})
		for _, target := range []string{s, "/" + s, "/a/" + s} {
			try(request.Raw{Method: "OPTIONS", Host: "a", Target: target})
			try(request.Raw{Method: "OPTIONS", Host: "a", Target: strings.ReplaceAll(target, "%", "%25")})
		}
	}
	return values
}

// What the types of the input tell is refused when it is loaded, or found.
func TestComparedTypes(t *testing.T) {
	for bad, good := range map[string]string{
		`input.request.query.x == "1"`:                `input.request.query.x[0] == "1"`,
		`"1" == input.request.query.x`:                `"1" in input.request.query.x`,
		`input.token.scopes == "a"`:                   `input.token.scopes == ["a"]`,
		`input.token.level == "mfa"`:                  `"mfa" in input.token.levels`,
		`input.request.header_values["x-a"] == "1"`:   `input.request.headers["x-a"] == "1"`,
		`input.request.segments == "a"`:               `input.request.segments == ["a"]`,
		`input.token.sender_constrained == "yes"`:     `input.token.sender_constrained == true`,
		`input.request.headers["x-a"] == 1`:           `input.request.headers["x-a"] == "1"`,
		`input.request.query.x[0] == 1`:               `input.request.query.x[_] == "1"`,
		`startswith(input.request.query.x, "a")`:      `startswith(input.request.query.x[0], "a")`,
		`input.route.extensions.x == true`:            `input.route.extensions.x == "true"`,
		`input.request.query.x in {"1", "2"}`:         `input.request.query.x[0] in {"1", "2"}`,
		`"x" in input.request.headers["x-a"]`:         `contains(input.request.headers["x-a"], "x")`,
		`input.request.size == "1"`:                   `input.request.size == 1`,
		`input.token.audience == "https://a.example"`: `"https://a.example" in input.token.audience`,
	} {
		rule := baseline + "deny contains {\"code\": \"x\"} if " + bad
		if _, err := load(t, rule); err == nil && len(lintOf(t, rule, nil)) == 0 {
			t.Errorf("%s is not found", bad)
		}
		if _, err := load(t, baseline+"deny contains {\"code\": \"x\"} if "+good); err != nil ||
			len(lintOf(t, baseline+"deny contains {\"code\": \"x\"} if "+good, nil)) > 0 {
			t.Errorf("%s: %v", good, err)
		}
	}
}
