package rego_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/policies"
)

// conditions are what rules may ask of a request: comparisons that share a line of the
// memo, and looks at whole members in every way that comes to mind.
var conditions = []string{
	`input.request.segments[0] == "pay"`, `"pay" == input.request.segments[0]`, `input.request.segments[1] != "7"`,
	`input.request.method in {"GET", "HEAD"}`, `not input.request.method in ["POST", 1]`,
	`input.request.path in data.open`,
	`startswith(input.request.path, "/pay/")`, `not startswith(input.request.raw_path, "/a")`,
	`endswith(input.request.path, "7")`,
	`contains(input.request.path, "a")`, `count(input.request.segments) > 1`,
	`n := count(input.request.segments); n == 2`,
	`s := input.request.segments[0]; s == "pay"`, `s := input.request.segments[0]; s in data.open`,
	`s := input.request.path; endswith(s, s)`,
	`s := input.request.method; s == "GET"; s != "POST"`, `s := input.request.method; s == "GET"; upper(s) == s`,
	`some s in input.request.segments; s == "pay"`, `some i; input.request.segments[i] == "7"`,
	`every s in input.request.segments { s != "x" }`,
	`input.request.headers["x-a"] == "1"`, `not input.request.headers["x-a"]`,
	`input.request.headers["x-a"] != input.request.headers["x-b"]`,
	`input.request.header_values["x-a"][0] == "1"`, `"1" in input.request.query.q`, `input.request.query.q[0] == "1"`,
	`input.request.query`,
	`input.request.host == "a.example.com"`, `input.request.kind == "navigation"`, `input.request.size > 3`,
	`input.request.id == "1"`,
	`input.token.claims.role == "admin"`, `"mfa" in input.token.levels`, `not input.token`,
	`input.token.scheme == "dpop"`,
	`input.token.sender_constrained`, `input.route.extensions.area == "x"`, `input.route.extensions`,
	`input.tls.sni == "a"`,
	`input.source.address == "192.0.2.1"`, `input.source.client_address`, `is_admin(input.request)`,
	`first(input.request.segments) == "pay"`,
	`object.get(input.request, "path", "") == "/pay/7"`, `x := input.request; x.path == "/pay/7"`,
	`input.request[k] == "/pay/7"`,
	`helper`, `not helper`, `[s | s := input.request.segments[_]; s == "7"] != []`,
	`walk(input.request.segments, [p, "7"])`,
	`same(input.request.method)`, `sprintf("%s", [input.request.host]) == "a.example.com"`,
	`input.request.path == input.request.raw_path`,
	`some e in data.table; e == input.request.segments[0]`, `data.by_host[input.request.host]`,
	`lower(input.request.method) == "get"`,
	`input.request.body.present`, `is_object(input.source)`, `input.request.method == data.method`,
	`input.request.method == data.open[_]`,
	`x := input; x.request.path == "/pay/7"`, `holds(input)`,
	`helper with input.request.method as input.request.headers["x-a"]`,
	`helper with input.request as {"method": input.request.headers["x-a"], "segments": ["pay"]}`,
	`startswith(input.request.path, "/pay") with input.request.path as input.request.headers["x-m"]`,
	`input.request.method in {"HEAD", input.request.headers["x-m"]}`, `input.request.method == [input.request.host][_]`,
	`s = input.request.headers["x-b"]; s = input.request.headers["x-a"]`, `data.elsewhere.helper`,
	`data.elsewhere.of(input.request.headers)`,
	`some entry in data.routes; data.stepward.lib.routes.matches(entry, input.request)`,
	`data.stepward.lib.routes.path_matches(["pay", "*"], input.request.segments)`,
	// A member that is only asked to be there.
	`_ := input.request.segments[1]`, `_ = input.request.headers["x-a"]`, `some x; x = input.token.subject`,
	`_ = input.tls.sni`, `_ = input.route.extensions.area`, `_ = input.request.query.r`, `_ = input.token`,
	`count([1 | x = input.request.id]) == 1`, `not count([1 | x = input.request.segments[2]]) == 1`,
	`count([x | x = input.request.host; startswith(x, "a")]) == 1`,
	// Names that stand for data in one body, and for something else in the next.
	`count([1 | t = data.open; count(t) > 0]) > 0; count([1 | t = data.table[_]; input.request.segments[0] == t]) > 0`,
	`count([1 | t = data.open; count(t) > 0]) > 0; count([1 | t = data.lists[_]; input.request.segments[0] in t]) > 0`,
	`count([1 | t = data.open]) == 1; count([1 | input.request.host = t; t == "a.example.com"]) == 1`,
	`some t in data.table; not t = data.open; input.request.segments[0] == t`,
	`some t in data.lists; not t == data.open; input.request.segments[0] in t`,
	`every t in data.lists { not t = data.open; not input.request.segments[0] in t }`,
	`some l in data.lists; listed(l)`, `some t in data.table; named(t)`, `alternative`, `otherwise == 2`,
	`some t in data.table; t = data.open or input.request.segments[0] == t`,
	`t := data.open; input.request.segments[0] in t`, `t := data.open; not input.request.segments[0] in t`,
	// Names in the heads of rules.
	`by_host["a.example.com"].here`, `by_host2["a.example.com"].here`, `"GET" in methods_of["a.example.com"]`,
	`seen["a.example.com"].GET`, `hosts["a.example.com"]`, `count(hosts) == 1; some h in object.keys(hosts); h == "b.example.com"`,
	`deep.er["pay"]`, `"a.example.com" in host_set`, `echoed.host == "a.example.com"`,
	`defaulted("a.example.com")`, `two(input.request.method, input.request.headers["x-b"])`,
	// Other ways to a member.
	`[x, y] := [input.request.host, input.request.headers["x-a"]]; x == "a.example.com"; y == "1"`,
	`{"a": x} = {"a": input.request.host}; x == "a.example.com"`, `{"a": input.request.host}["a"] == "a.example.com"`,
	`{input.request.host: 1}["a.example.com"] == 1`, `[s | s := input.request.host][_] == "a.example.com"`,
	`split(input.request.path, "/")[1] == "pay"`, `$"{input.request.host}" == "a.example.com"`,
	`input.request.host == "a.example.com" or input.request.headers["x-a"] == "1"`,
	`not { input.request.host == "a.example.com"; input.request.headers["x-a"] == "1" }`,
	`i := count(data.open) - 2; input.request.segments[i] == "7"`, `input["request"]["host"] == "a.example.com"`,
	`y := input.request.host == "a.example.com"; y == false`, `startswith(input.request.path, "/pay", false)`,
	`startswith("/pay/7", input.request.path)`, `input.request.host in {"a": "a.example.com"}`,
	`0, input.request.segments[0] in ["pay"]`, `input.request.host = h; h == "a.example.com"`,
	`input.request.segments[0] in ({"pay"} | {input.request.headers["x-a"]})`, `input.request.segments == data.table`,
	`[input.request.host] in {["a.example.com"]}`, `strings.any_prefix_match(input.request.path, ["/pay", "/adm"])`,
	`verbs[input.request.method]`, `some k; data.elsewhere[k] == true`, `x := data.elsewhere; x.helper`,
	`some k, v in input.request.headers; k != "x-m"; v == "2"`, `every s in input.request.query.q { s != "1" }`,
	`json.filter(input, ["request/host"]).request.host == "a.example.com"`,
	`object.get(input.request.headers, "x-a", "") == ""`,
	`rest := array.slice(input.request.segments, 1, 9); rest == ["7"]`,
	`r := input.request; some entry in data.routes; data.stepward.lib.routes.matches(entry, r)`,
	`some entry in data.routes; not data.stepward.lib.routes.matches(entry, input.request)`,
	`count([e | some e in data.routes; data.stepward.lib.routes.matches(e, input.request)]) > 1`,
	`every e in data.routes { not data.stepward.lib.routes.matches(e, input.request) }`,
}

const elsewhere = `package elsewhere

import rego.v2

helper if input.request.headers["x-b"] == "2"

of(headers) if headers["x-a"] == "1"
`

const strict = `package stepward.route.strict

import rego.v2

require contains {"level": "mfa", "reason": "strict"} if input.request.headers["x-s"] == "1"
`

const public = `package stepward.route.public

import rego.v2

require contains {"level": "password", "reason": "public"}
`

// files are the files of a policy whose rules are text.
func files(text string) []rego.Source {
	all := []rego.Source{{Name: "policy.rego", Text: []byte(text)}, {Name: "data.json", Text: []byte(memoData)},
		{Name: "strict.rego", Text: []byte(strict)}, {Name: "public.rego", Text: []byte(public)}}
	if strings.Contains(text, "data.elsewhere") { // a package that nobody asks is refused
		all = append(all, rego.Source{Name: "elsewhere.rego", Text: []byte(elsewhere)})
	}
	return all
}

const helpers = `
holds(x) if x.request.headers["x-a"] == "1"

helper if { input.request.segments[0] == "pay"; input.request.method == "GET" } else if input.request.host == "b.example.com"

is_admin(r) if r.segments[0] == "admin"

first(list) := list[0]

same(m) if { x := input.request.method; x == m; x == "GET" }

listed(t) if { not t = data.open; input.request.segments[0] in t }

named(t) if { not t = data.open; input.request.segments[0] == t }

alternative if { t = data.open; count(t) > 9 } else if { t = data.table[_]; input.request.segments[0] == t }

otherwise := 1 if { _ = input.request.segments[1] } else := 2

by_host[input.request.host].here := true

by_host2[x].here := true if { x := input.request.host; x != "b.example.com" }

methods_of[x] contains y if { x = input.request.host; y = input.request.method }

seen[x][y] := true if { x = input.request.host; y = input.request.method }

hosts[input.request.host] := true

deep.er[x] := true if { x := input.request.segments[0] }

host_set contains input.request.host

echoed := {"host": input.request.host}

default defaulted(_) := false

defaulted(x) if x == input.request.host

two(_, x) if x == "1"

verbs.GET if true

verbs.POST if input.request.headers["x-b"] == "1"
`

// helpersOf are the helpers that a text names. All rules of a package that decides count, so
// the others would add what they look at, and hide what the memo is blind to.
func helpersOf(text string) string {
	var b strings.Builder
	for _, h := range strings.Split(strings.TrimSpace(helpers), "\n\n") {
		name := strings.TrimPrefix(h, "default ")
		name = name[:strings.IndexAny(name, "( [.")]
		if regexp.MustCompile(`\b` + name + `\b`).MatchString(text) {
			fmt.Fprintf(&b, "\n%s\n", h)
		}
	}
	return b.String()
}

const memoData = `{"open": ["/", "pay"], "table": ["pay", "x"], "by_host": {"a.example.com": true}, "method": "GET", "lists": [["pay"], ["x"]],
 "routes": [
 {"path": "/pay/**", "safe_methods": ["GET"], "require": {"level": "mfa"}},
 {"path": "/*/7", "methods": ["POST"], "hosts": ["a.example.com"], "require": {"level": "mfa"}},
 {"path": "/", "require": {"level": "mfa"}}, {"path": "/**", "methods": ["GET"], "require": {"level": "password"}}]}`

// policyOf is a policy of a few rules, each of some of the conditions.
func policyOf(choose *rand.Rand) string {
	var b strings.Builder
	b.WriteString(
		"package stepward.policy\n\nimport rego.v2\n\nrequire contains {\"level\": \"authenticated\"}\n")
	for i := range 1 + choose.IntN(3) {
		var body []string
		for range 1 + choose.IntN(2) {
			c := conditions[choose.IntN(len(conditions))]
			if choose.IntN(4) == 0 && !strings.ContainsAny(c, ";:{") && !strings.HasPrefix(c, "not") &&
				!strings.HasPrefix(c, "some") {
				c = "not " + c
			}
			body = append(body, c)
		}
		head := fmt.Sprintf(`require contains {"level": "mfa", "reason": "rule %d"}`, i)
		switch choose.IntN(4) {
		case 0:
			head = fmt.Sprintf(`deny contains {"code": "rule_%d"}`, i)
		case 1:
			head = fmt.Sprintf(`headers["x-rule-%d"] := "yes"`, i)
		case 2:
			head = fmt.Sprintf(
				`deny contains {"code": sprintf("c_%%d", [count(input.request.segments)]), "detail": "rule %d"}`, i)
		}
		fmt.Fprintf(&b, "\n%s if {\n\t%s\n}\n", head, strings.Join(body, "\n\t"))
	}
	return b.String() + helpersOf(b.String())
}

// both loads a policy twice: with a memo, and without.
func both(t testing.TB, sources []rego.Source, size int) (with, without *rego.Policy, ok bool) {
	t.Helper()
	library, err := rego.FromFS(policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	var loaded []*rego.Policy
	for _, n := range []int{size, 0} {
		p, err := rego.Load(t.Context(), slices.Concat(sources, library),
			rego.Options{Ladder: ladder(t), Timeout: wait.Bound, MemoSize: n, Optional: []string{"risk", "breakglass"}})
		if err != nil {
			return nil, nil, false // two conditions may make no sense together
		}
		loaded = append(loaded, p)
	}
	return loaded[0], loaded[1], true
}

// requests are some that differ in one thing each from another.
func inputs(choose *rand.Rand, bases int) []policy.Input {
	var serial uint64
	one := func(values ...string) string { return values[choose.IntN(len(values))] }
	base := func() policy.Input {
		var segments []string
		for range choose.IntN(4) {
			segments = append(segments, one("pay", "admin", "7", "8", "x", "a"))
		}
		path := "/" + strings.Join(segments, "/")
		in := policy.Input{Request: request.Request{
			ID: one("1", "2", ""), Method: one("GET", "POST", "HEAD", "FOO"),
			Host: one("a.example.com", "b.example.com"), Path: path, RawPath: path,
			Segments: segments, Query: map[string][]string{}, Headers: request.Headers{},
			Kind: request.Kind(one("navigation", "other")), Size: int64(choose.IntN(6)),
		}}
		if choose.IntN(2) == 0 {
			in.Request.Headers["x-a"] = []string{one("1", "2")}
		}
		if choose.IntN(2) == 0 {
			in.Request.Headers["x-m"] = []string{one("GET", "POST", "/pay")}
		}
		if choose.IntN(2) == 0 {
			in.Request.Query["q"] = []string{one("1", "2")}
		}
		return in
	}
	signIn := func(in *policy.Input) {
		serial++
		in.Token = &token.Token{Serial: token.Serial{Of: 1, N: serial}, Issuer: "https://idp.example.com",
			Subject: "alice",
			Scheme:  credential.Bearer, Claims: map[string]any{"role": one("admin", "user")}, Proofs: []token.Proof{
				{ACR: "1"}}}
		in.Levels = []string{"password"}
	}
	changes := []func(*policy.Input){
		signIn, func(in *policy.Input) { in.Token, in.Levels = nil, nil }, func(in *policy.Input) {
			in.Routes = []string{one("strict", "public")}
		},
		func(in *policy.Input) { in.Request.Method = one("GET", "POST", "PUT", "get") },
		func(in *policy.Input) { in.Request.Host = one("a.example.com", "b.example.com", "c.example.com") },
		func(in *policy.Input) {
			in.Request.Segments = append(slices.Clone(in.Request.Segments), one("pay", "7", "8"))
			in.Request.Path += "/" + in.Request.Segments[len(in.Request.Segments)-1]
			in.Request.RawPath = in.Request.Path
		},
		func(in *policy.Input) {
			if n := len(in.Request.Segments); n > 0 {
				in.Request.Segments = slices.Clone(in.Request.Segments)
				in.Request.Segments[choose.IntN(n)] = one("pay", "admin", "7", "x", "other")
				in.Request.Path = "/" + strings.Join(in.Request.Segments, "/")
				in.Request.RawPath = in.Request.Path
			}
		},
		func(in *policy.Input) { in.Request.Segments, in.Request.Path, in.Request.RawPath = nil, "/", "/" },
		func(in *policy.Input) { in.Request.RawPath = "/%61" + in.Request.RawPath[1:] },
		func(in *policy.Input) { in.Request.Path += "/" },
		func(in *policy.Input) {
			in.Request.Headers = request.Headers{"x-a": {one("1", "2", "")}, "x-b": {one("1", "2")}}
		},
		func(in *policy.Input) { in.Request.Headers = request.Headers{"x-a": {"1", "2"}} },
		func(in *policy.Input) { in.Request.Query = map[string][]string{"q": {"2", "1"}, "r": nil} },
		func(in *policy.Input) { in.Request.Headers = request.Headers{"x-s": {one("1", "2")}} },
		func(in *policy.Input) {
			states := request.BodyStates()
			in.Request.Body = request.Body{Present: true, State: states[choose.IntN(len(states))],
				JSON: map[string]any{"host": "a.example.com"}, Form: map[string][]string{"host": {"x"}}}
		},
		func(in *policy.Input) { in.Request.Kind = request.Kind(one("navigation", "fetch")) },
		func(in *policy.Input) { in.Request.ID = one("", "1", "3") },
		func(in *policy.Input) { in.Request.Size = int64(choose.IntN(9)) },
		func(in *policy.Input) { in.Request.SNI = one("a", "b") },
		func(in *policy.Input) { in.Request.Source.Address = one("192.0.2.1", "192.0.2.2") },
		func(in *policy.Input) { in.Request.ClientAddress = one("192.0.2.1", "") },
		func(in *policy.Input) {
			in.Request.Route.Extensions = map[string]string{one("area", "other"): one("x", "y")}
		},
		func(in *policy.Input) { in.Levels = []string{one("mfa", "phishing-resistant")} },
		func(in *policy.Input) {
			if in.Token != nil {
				other := *in.Token
				other.Scheme, other.SenderConstrained = credential.DPoP, choose.IntN(2) == 0
				in.Token = &other
			}
		},
		func(in *policy.Input) {
			if in.Token != nil { // one that nobody remembers
				other := *in.Token
				other.Serial, other.Claims = token.Serial{}, map[string]any{"role": one("admin", "user")}
				in.Token = &other
			}
		},
	}
	var all []policy.Input
	for range bases {
		in := base()
		if choose.IntN(2) == 0 {
			signIn(&in)
		}
		for _, change := range changes {
			for range 3 {
				changed := in
				change(&changed)
				all = append(all, in, changed)
			}
		}
	}
	return all
}
