package request

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// What an upstream that decodes twice would read as another path is refused, whatever
// it encodes and however it is written; a percent sign is only a percent sign.
func TestDoubleEncoding(t *testing.T) {
	for target, segment := range map[string]string{
		"/%2561dmin": "%61dmin", "/%25%36%31dmin": "%61dmin", "/%25%361dmin": "%61dmin", "/%256%31dmin": "%61dmin",
		"/a%2541":  "a%41",
		"/%252561": "%2561", "/%25%32%35%36%31": "%2561", "/x%2520y": "x%20y", "/%25c3%25a9": "%c3%a9",
		"/%25%37%35": "%75", "/%257e": "%7e", "/%257E": "%7E", "/100%2525": "100%25",
	} {
		if _, err := New(raw(target), Options{}); !errors.Is(err, ErrAmbiguous) || !strings.Contains(
			err.Error(), "double_encoding") {
			t.Errorf("%s: %v", target, err)
		}
		r, err := New(raw(target), Options{AllowDoubleEncoding: true})
		if err != nil || !slices.Equal(r.Segments, []string{segment}) || r.Path != "/"+segment {
			t.Errorf("%s with double_encoding: %q %q, %v; want %q", target, r.Path, r.Segments, err, segment)
		}
	}
	for target, segment := range map[string]string{
		"/100%25": "100%", "/%25": "%", "/%25%25": "%%", "/%25%2525": "", "/%25zz": "%zz", "/%254": "%4",
		"/%25u12g4": "%u12g4", "/50%25off": "50%off",
		"/%25g1": "%g1", "/a%25%20b": "a% b",
	} {
		r, err := New(raw(target), Options{})
		if segment == "" {
			if err == nil {
				t.Errorf("%s passes as %q", target, r.Path)
			}
			continue
		}
		if err != nil || !slices.Equal(r.Segments, []string{segment}) {
			t.Errorf("%s: %q, %v; want %q", target, r.Segments, err, segment)
		}
	}
	for _, target := range []string{"/%%36%31", "/%2%35", "/%u0061", "/%", "/%2", "/a%"} { // no escapes at all
		if _, err := New(raw(target), Options{AllowDoubleEncoding: true}); !errors.Is(err, ErrAmbiguous) {
			t.Errorf("%s: %v", target, err)
		}
	}
	// What is dangerous however often it is encoded stays refused.
	for _, target := range []string{"/x/%252e%252e/y", "/a%252fb", "/a%255cb", "/%2500", "/%25252e%25252e",
		"/%25%32%65.", "/..%253bx", "/%25u0061dmin", "/%25U002e%25u002e"} {
		if _, err := New(raw(target), Options{AllowDoubleEncoding: true, AllowPathParameters: true}); !errors.Is(
			err, ErrAmbiguous) {
			t.Errorf("%s with double_encoding: %v", target, err)
		}
	}
}

func TestEncodedSlash(t *testing.T) {
	allow := Options{AllowEncodedSlash: true}
	for target, want := range map[string]struct {
		path     string
		segments []string
	}{
		"/a%2Fb/c":   {"/a%2Fb/c", []string{"a/b", "c"}},
		"/a%2fb/c/":  {"/a%2Fb/c/", []string{"a/b", "c"}},
		"/%2Fadmin":  {"/%2Fadmin", []string{"/admin"}},
		"/a%2F%2Fb":  {"/a%2F%2Fb", []string{"a//b"}},
		"/a/b":       {"/a/b", []string{"a", "b"}},
		"/a%2F..%2F": {}, "/..%2Fa": {}, "/a%2F.;x": {}, "/a%5Cb": {}, "/a%2F%00": {}, "/a%252Fb": {},
	} {
		r, err := New(raw(target), allow)
		if want.path == "" {
			if !errors.Is(err, ErrAmbiguous) {
				t.Errorf("%s: %v", target, err)
			}
			continue
		}
		if err != nil || r.Path != want.path || !slices.Equal(r.Segments, want.segments) {
			t.Errorf("%s: %q %q, %v", target, r.Path, r.Segments, err)
		}
		if _, err := New(raw(target), Options{}); (err == nil) != (target == "/a/b") {
			t.Errorf("%s without encoded_slash: %v", target, err)
		}
	}
}

// A route takes refusals back for itself, and a name that is none takes nothing back.
func TestAllowOnARoute(t *testing.T) {
	targets := map[string]string{"path_parameters": "/a;b", "empty_segments": "/a//b", "encoded_slash": "/a%2Fb",
		"double_encoding": "/%2561"}
	headers := map[string]string{"method_override": "x-http-method", "url_override": "x-original-url"}
	for _, name := range Refusals() {
		in := raw("/")
		if target := targets[name]; target != "" {
			in = raw(target)
		} else {
			in.Headers = []Field{{headers[name], "x"}}
		}
		for value, fine := range map[string]bool{name: true, "x, " + name: true, name + " empty_segments": true,
			"": false, name + "x": false, "request_ambiguous": false} {
			in.Route.Extensions = map[string]string{AllowExtension: value}
			if _, err := New(in, Options{}); (err == nil) != fine {
				t.Errorf("%s with %q: %v", name, value, err)
			}
		}
		var o Options
		if !o.Allow(name) || o == (Options{}) || o.Allow("x") {
			t.Errorf("Allow(%q)", name)
		}
	}
}

// decodedOnce is the rule itself, without regard to cost: a segment decoded once, and
// whether decoding it any number of times more makes anything else of it.
func decodedOnce(s string) (string, bool) {
	var out []byte
	for i := 0; i < len(s); i++ {
		var b byte
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if n, err := fmt.Sscanf(s[i:min(i+3, len(s))], "%%%02x", &b); n != 1 || err != nil || len(s) < i+3 ||
			unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0 {
			return "", false
		}
		out = append(out, b)
		i += 2
	}
	return string(out), true
}

func decodedAgain(s string) string {
	for {
		next, _ := unescape(s)
		if next == s {
			return s
		}
		s = next
	}
}

// The single pass is the rule: what it accepts is the segment decoded once, which means
// the same however often it is decoded again.
func FuzzSegment(f *testing.F) {
	for _, s := range []string{"a", "%2561", "100%25", "%252e%252e", "%25%32%35", "%u0061", "a%", "%25u0061",
		"%c3%a9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsAny(s, "/?#;") || s == "" {
			return
		}
		want, ok := decodedOnce(s)
		again := decodedAgain(want)
		got, err := segment(s, Options{})
		if ok && (settled(want) != again || holdsEscape(want) != (again != want) && !strings.Contains(
			strings.ToLower(want), "%u")) {
			t.Errorf("%q: settled %q, holds an escape %t; want %q", want, settled(want), holdsEscape(want), again)
		}
		fine := ok && again == want && utf8.ValidString(want) && checkSegment(want, Options{}) == nil &&
			!strings.Contains(want, ";") && !holdsEscape(want)
		if fine != (err == nil) || err == nil && got != want {
			t.Errorf("segment(%q) = %q, %v; want %q, %t", s, got, err, want, fine)
		}
		lifted, err := segment(s, Options{AllowDoubleEncoding: true, AllowPathParameters: true,
			AllowEncodedSlash: true})
		if err == nil {
			for _, part := range strings.Split(decodedAgain(lifted), "/") {
				if part == "." || part == ".." || strings.ContainsAny(part, "\\\x00\r\n") {
					t.Errorf("with everything allowed, %q is %q, and decoded to the end %q", s, lifted,
						decodedAgain(lifted))
				}
			}
		}
	})
}

// The path that is looked at first is the one that is decided on.
func FuzzPathOf(f *testing.F) {
	for _, target := range []string{"/_stepward/x", "/%5Fstepward/x?a=b", "/a/../b", "//x", "/A%20b/", "*", "", "/a#b",
		"/%252e"} {
		f.Add(target, "", false)
		f.Add(target, "double_encoding, empty_segments", true)
	}
	f.Fuzz(func(t *testing.T, target, allow string, fold bool) {
		raw := Raw{Method: "GET", Host: "a", Scheme: "https", Target: target}
		if allow != "" {
			raw.Route.Extensions = map[string]string{AllowExtension: allow}
		}
		o := Options{FoldPathCase: fold}
		path, ok := PathOf(raw, o)
		r, err := New(raw, o)
		if ok != (err == nil) || ok && path != r.Path {
			t.Fatalf("%q is %q, %v first, and then %q, %v", target, path, ok, r.Path, err)
		}
	})
}
