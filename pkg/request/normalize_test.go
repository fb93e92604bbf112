package request

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func raw(target string) Raw {
	return Raw{Method: "GET", Host: "app.example.com", Target: target, Scheme: "https"}
}

// What normalization makes of a path. A row without segments is refused.
var pathVectors = []struct {
	name, target string
	path         string
	segments     []string
}{
	{"root", "/", "/", []string{}},
	{"one segment", "/admin", "/admin", []string{"admin"}},
	{"final slash kept in the path", "/admin/", "/admin/", []string{"admin"}},
	{"query cut at the first question mark", "/a?b?c=/../d", "/a", []string{"a"}},
	{"query only after the root", "/?x", "/", []string{"?x"}[:0]},
	{"space", "/a%20b", "/a b", []string{"a b"}},
	{"encoded question mark stays in the path", "/a%3Fb", "/a?b", []string{"a?b"}},
	{"encoded number sign", "/a%23b", "/a#b", []string{"a#b"}},
	{"UTF-8", "/%C3%A9t%c3%a9", "/été", []string{"été"}},
	{"unreserved letters", "/%61dmin", "/admin", []string{"admin"}},
	{"literal percent", "/100%25", "/100%", []string{"100%"}},
	{"three dots", "/.../x", "/.../x", []string{"...", "x"}},
	{"dot in a name", "/.well-known/a.b", "/.well-known/a.b", []string{".well-known", "a.b"}},

	{name: "empty", target: ""},
	{name: "relative", target: "admin"},
	{name: "absolute form", target: "https://app.example.com/admin"},
	{name: "asterisk for GET", target: "*"},
	{name: "double slash", target: "//admin"},
	{name: "double slash inside", target: "/a//b"},
	{name: "two final slashes", target: "/a//"},
	{name: "dot segment", target: "/x/./admin"},
	{name: "dot-dot segment", target: "/x/../admin"},
	{name: "final dot-dot", target: "/admin/.."},
	{name: "encoded dots", target: "/x/%2e%2E/admin"},
	{name: "half encoded dots", target: "/x/.%2e/admin"},
	{name: "doubly encoded dots", target: "/x/%252e%252e/admin"},
	{name: "triply encoded dots", target: "/x/%25252e%25252e/admin"},
	{name: "doubly encoded slash behind a bad escape", target: "/x%25zz%252fadmin"},
	{name: "dot-dot with a parameter", target: "/x/..;/admin"},
	{name: "encoded dot-dot with a parameter", target: "/x/%2e%2e;a=b/admin"},
	{name: "dot-dot with an encoded semicolon", target: "/x/..%3b/admin"},
	{name: "parameter", target: "/admin;x=1"},
	{name: "encoded semicolon", target: "/admin%3Bx"},
	{name: "encoded slash", target: "/a%2fb"},
	{name: "doubly encoded slash", target: "/a%252Fb"},
	{name: "backslash", target: `/a\b`},
	{name: "encoded backslash", target: "/a%5cb"},
	{name: "NUL", target: "/admin%00"},
	{name: "doubly encoded NUL", target: "/admin%2500"},
	{name: "control byte", target: "/a%0d%0ab"},
	{name: "delete", target: "/a%7f"},
	{name: "bad escape", target: "/a%zz"},
	{name: "cut escape", target: "/a%2"},
	{name: "bare percent", target: "/admin%"},
	{name: "overlong slash", target: "/a%c0%afb"},
	{name: "invalid UTF-8", target: "/%ff"},
	{name: "raw invalid UTF-8", target: "/\xff"},
	{name: "fragment", target: "/admin#x"},
	{name: "fragment in the query", target: "/a?q=1#f"},
	{name: "raw space", target: "/a b"},
	{name: "raw CR LF", target: "/a\r\nb"},
	{name: "control byte in the query", target: "/a?x=\x01"},
	{name: "too long", target: "/" + strings.Repeat("a", DefaultMaxPath)},
}

func TestPath(t *testing.T) {
	for _, v := range pathVectors {
		t.Run(v.name, func(t *testing.T) {
			r, err := New(raw(v.target), Options{})
			if v.segments == nil {
				if !errors.Is(err, ErrAmbiguous) {
					t.Fatalf("New(%q) = %q, %v; want refused as ambiguous", v.target, r.Path, err)
				}
				if r.Path != "" {
					t.Errorf("a refused request has path %q", r.Path)
				}
				return
			}
			if err != nil || r.Path != v.path || !slices.Equal(r.Segments, v.segments) {
				t.Errorf("New(%q) = %q %q, %v; want %q %q", v.target, r.Path, r.Segments, err, v.path, v.segments)
			}
		})
	}
}

// The refusals that an operator may lift, each with the refusal itself.
func TestAllow(t *testing.T) {
	for _, v := range []struct {
		name, target, path string
		opt                Options
	}{
		{"parameters are cut", "/a;v=1/b;w", "/a/b", Options{AllowPathParameters: true}},
		{"but dot segments are not", "/x/..;/admin", "", Options{AllowPathParameters: true}},
		{"empty segments are skipped", "//a///b//", "/a/b/", Options{AllowEmptySegments: true}},
		{"but dot segments are not", "//../admin", "", Options{AllowEmptySegments: true}},
		{"case is folded", "/Admin/%C3%89", "/admin/é", Options{FoldPathCase: true}},
		{"limit", "/aaaa", "/aaaa", Options{MaxPath: 5}},
		{"limit exceeded", "/aaaaa", "", Options{MaxPath: 5}},
	} {
		r, err := New(raw(v.target), v.opt)
		if r.Path != v.path || (err == nil) != (v.path != "") {
			t.Errorf("%s: New(%q) = %q, %v; want %q", v.name, v.target, r.Path, err, v.path)
		}
	}
}

func TestHost(t *testing.T) {
	for _, v := range []struct{ in, scheme, want string }{
		{"App.Example.COM", "https", "app.example.com"},
		{"app.example.com.", "https", "app.example.com"},
		{"app.example.com:443", "https", "app.example.com"},
		{"app.example.com:80", "http", "app.example.com"},
		{"app.example.com:443", "", "app.example.com"},
		{"app.example.com:443", "http", "app.example.com:443"},
		{"app.example.com:8443", "https", "app.example.com:8443"},
		{"xn--bcher-kva.example", "https", "xn--bcher-kva.example"},
		{"127.0.0.1:8080", "http", "127.0.0.1:8080"},
		{"[2001:DB8::1]:8443", "https", "[2001:db8::1]:8443"},
		{"[::1]", "https", "[::1]"},
		{"my_service", "http", "my_service"},

		{"", "https", ""},
		{".", "https", ""},
		{"a..b", "https", ""},
		{"a.test,b.test", "https", ""},
		{"user@app.example.com", "https", ""},
		{"app.example.com:0443", "https", ""},
		{"app.example.com:", "https", ""},
		{"app.example.com:99999", "https", ""},
		{"app.example.com:+1", "https", ""},
		{"app.example.com/x", "https", ""},
		{"app example", "https", ""},
		{"bücher.example", "https", ""},
		{"010.0.0.1", "https", ""},
		{"1.2.3", "https", ""},
		{"0x7f.1", "https", ""},
		{"::1", "https", ""},
		{"[::1%25eth0]", "https", ""},
		{"[::1", "https", ""},
		{"[127.0.0.1]", "https", ""},
		{"[v1.x]", "https", ""},
	} {
		got, err := host(v.in, v.scheme)
		if got != v.want || (err == nil) != (v.want != "") {
			t.Errorf("host(%q, %q) = %q, %v; want %q", v.in, v.scheme, got, err, v.want)
		}
		if err != nil && !errors.Is(err, ErrAmbiguous) {
			t.Errorf("host(%q): %v is not ErrAmbiguous", v.in, err)
		}
	}
}

func TestMethodAndScheme(t *testing.T) {
	for _, v := range []struct {
		method, scheme, target string
		ok                     bool
	}{
		{"GET", "https", "/", true},
		{"PROPFIND", "HTTP", "/", true},
		{"OPTIONS", "http", "*", true},
		{"GET", "", "/", true},
		{"get", "https", "/", false},
		{"", "https", "/", false},
		{"GE T", "https", "/", false},
		{"CONNECT", "https", "", false},
		{"CONNECT", "https", "/", false},
		{"GET", "javascript", "/", false},
		{"OPTIONS", "http", "*?x", false},
	} {
		in := raw(v.target)
		in.Method, in.Scheme = v.method, v.scheme
		if _, err := New(in, Options{}); (err == nil) != v.ok {
			t.Errorf("%s %s %s: %v; want ok %t", v.method, v.scheme, v.target, err, v.ok)
		}
	}
}

func TestHeaders(t *testing.T) {
	for _, v := range []struct {
		name   string
		fields []Field
		opt    Options
		want   error
	}{
		{name: "one Authorization", fields: []Field{{"Authorization", "Bearer x"}}},
		{"two Authorization lines", []Field{{"authorization", "Bearer x"}, {"Authorization", "Bearer x"}}, Options{},
			ErrRepeated},
		{"two that the proxy joined", []Field{{"authorization", "Bearer x,Bearer y"}}, Options{}, ErrRepeated},
		{"large headers", []Field{{"x-a", strings.Repeat("a", 90<<10)}}, Options{}, nil},
		{"too large headers", []Field{{"x-a", strings.Repeat("a", 1<<20)}}, Options{}, ErrAmbiguous},
		{"our scheme after a comma", []Field{{"authorization", "Digest a=\"b\",\tbearer x"}}, Options{}, ErrRepeated},
		{"our scheme before a comma", []Field{{"authorization", "DPoP x, Digest a=b"}}, Options{}, ErrRepeated},
		{"a list of another scheme", []Field{
			{"authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=dpop;host, Signature=0"}}, Options{}, nil},
		{"two lines of another scheme", []Field{{"authorization", "Basic a"}, {"authorization", "Basic b"}}, Options{},
			ErrRepeated},
		{"two DPoP proofs", []Field{{"dpop", "x"}, {"dpop", "y"}}, Options{}, ErrRepeated},
		{"joined DPoP proofs", []Field{{"dpop", "x,y"}}, Options{}, ErrRepeated},
		{"method override", []Field{{"X-HTTP-Method-Override", "DELETE"}}, Options{}, ErrAmbiguous},
		{"method override with underscores", []Field{{"X_HTTP_Method", "DELETE"}}, Options{}, ErrAmbiguous},
		{"method override with dots", []Field{{"x.method.override", "DELETE"}}, Options{}, ErrAmbiguous},
		{"method override allowed", []Field{{"X-HTTP-Method-Override", "DELETE"}}, Options{AllowMethodOverride: true},
			nil},
		{"URL override", []Field{{"X-Original-URL", "/admin"}}, Options{}, ErrAmbiguous},
		{"URI override", []Field{{"X-Original-URI", "/admin"}}, Options{}, ErrAmbiguous},
		{"rewrite", []Field{{"X-Rewrite-URL", "/admin"}}, Options{}, ErrAmbiguous},
		{"URL override allowed", []Field{{"X-Rewrite-URL", "/admin"}}, Options{AllowURLOverride: true}, nil},
		{"URL override allowed, method override not", []Field{{"X-HTTP-Method", "PUT"}},
			Options{AllowURLOverride: true}, ErrAmbiguous},
	} {
		in := raw("/")
		in.Headers = v.fields
		if _, err := New(in, v.opt); !errors.Is(err, v.want) {
			t.Errorf("%s: %v; want %v", v.name, err, v.want)
		}
	}
}

// Both of Envoy's header encodings read the same, apart from repetition.
func TestHeaderText(t *testing.T) {
	h := headers([]Field{{"X-A", "a\xffb"}, {"x-a", "c"}})
	if got := h.Get("x-a"); got != "a!b,c" {
		t.Errorf("Get = %q", got)
	}
	if got := h.Values("x-a"); !slices.Equal(got, []string{"a!b", "c"}) {
		t.Errorf("Values = %q", got)
	}
}

func TestQueryAndBody(t *testing.T) {
	in := raw("/p?a=1&a=2&b=%2F+x&c=%zz&d")
	in.Headers = []Field{{"content-type", "application/json; charset=utf-8"}}
	in.Body = RawBody{Present: true, Bytes: []byte(`{"amount":10}`)}
	r, err := New(in, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{"a": {"1", "2"}, "b": {"/ x"}, "c": {"%zz"}, "d": {""}} {
		if !slices.Equal(r.Query[name], want) {
			t.Errorf("query %s = %q; want %q", name, r.Query[name], want)
		}
	}
	if r.Body.JSON == nil {
		t.Error("a whole JSON body is not decoded")
	}
	for _, bad := range []RawBody{
		{},
		{Present: true, Truncated: true, Bytes: []byte(`{"amount":10}`)},
		{Present: true, Bytes: []byte(`{"amount":10,"amount":99}`)},
		{Present: true, Bytes: []byte(`{"amount":10} x`)},
	} {
		in.Body = bad
		if r, _ := New(in, Options{}); r.Body.JSON != nil {
			t.Errorf("body %q truncated %t is decoded", bad.Bytes, bad.Truncated)
		}
	}
}

// Whatever is accepted reads the same when it is read again, and means no other
// path to a reader who decodes once more.
func FuzzPath(f *testing.F) {
	for _, v := range pathVectors {
		f.Add(v.target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		r, err := New(raw(target), Options{})
		if err != nil {
			if !errors.Is(err, ErrAmbiguous) {
				t.Fatalf("%q: %v", target, err)
			}
			return
		}
		for _, s := range r.Segments {
			if s == "" || s == "." || s == ".." || strings.ContainsAny(s, "/\\;\x00\r\n") {
				t.Errorf("%q has segment %q", target, s)
			}
			if again, ok := unescape(s); ok && (again == ".." || strings.ContainsAny(again, "/\\\x00")) {
				t.Errorf("%q decodes again to %q", target, again)
			}
		}
		if !strings.HasPrefix(r.Path, "/") || strings.Count(strings.TrimSuffix(r.Path, "/"), "/") != max(
			len(r.Segments), 0) && len(r.Segments) > 0 {
			t.Errorf("%q: path %q and segments %q disagree", target, r.Path, r.Segments)
		}
	})
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{"a.test", "[::1]:1", "A.:80", "a,b", "1.2.3.4", "0x1", "a:0443"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		h, err := host(in, "https")
		if err != nil {
			return
		}
		if again, err := host(h, "https"); err != nil || again != h {
			t.Errorf("host(%q) = %q, read again %q, %v", in, h, again, err)
		}
		if strings.ContainsAny(h, ",/@ \r\n%?#\\") {
			t.Errorf("host(%q) = %q", in, h)
		}
	})
}
