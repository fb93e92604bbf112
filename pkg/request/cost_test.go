package request

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// hostile makes requests of n parts that are meant to be expensive. Nothing is known about
// their sender.
var hostile = map[string]func(n int) Raw{
	"escapes of a percent sign": func(n int) Raw { return raw("/" + strings.Repeat("%25", n)) },
	"escapes within escapes":    func(n int) Raw { return raw("/%" + strings.Repeat("25", n) + "61") },
	"escapes":                   func(n int) Raw { return raw("/" + strings.Repeat("%61", n)) },
	"percent signs":             func(n int) Raw { return raw("/" + strings.Repeat("%", n)) },
	"segments":                  func(n int) Raw { return raw(strings.Repeat("/a", n)) },
	"empty segments":            func(n int) Raw { return raw(strings.Repeat("/", n)) },
	"encoded slashes":           func(n int) Raw { return raw("/" + strings.Repeat("%2Fa", n)) },
	"path parameters":           func(n int) Raw { return raw("/a" + strings.Repeat(";", n)) },
	"query parameters":          func(n int) Raw { return raw("/?" + strings.Repeat("a&", n)) },
	"names in the query":        func(n int) Raw { return raw("/?" + numbered("a%d=%%25%%25&", n)) },
	"plus signs in the query":   func(n int) Raw { return raw("/?" + strings.Repeat("+", n)) },
	"header lines":              func(n int) Raw { return lines(n, "x-%d", "v") },
	"lines of one header":       func(n int) Raw { return lines(n, "x-%[2]s", "v") },
	"spellings of headers":      func(n int) Raw { return lines(n, "x-http.method_x%d", "v") },
	"bytes that are not UTF-8":  func(n int) Raw { return one("x-a", strings.Repeat("\xff", n)) },
	"cookies":                   func(n int) Raw { return one("cookie", strings.Repeat("a=b; ", n)) },
	"lines of cookies":          func(n int) Raw { return lines(n, "cookie", "a=b") },
	"X-Forwarded-For": func(n int) Raw {
		return one("x-forwarded-for", strings.Repeat("1.1.1.1,", n)+"10.0.0.1")
	},
	"X-Forwarded-For in lines": func(n int) Raw { return lines(n, "x-forwarded-for", "1.1.1.1") },
	"XFCC": func(n int) Raw {
		return one("x-forwarded-client-cert", strings.Repeat("Hash=a;URI=b,", n)+"By=x")
	},
	"quotes in XFCC": func(n int) Raw {
		return one("x-forwarded-client-cert", `Subject="`+strings.Repeat(`\"`, n)+`"`)
	},
	"hashes in XFCC": func(n int) Raw {
		return one("x-forwarded-client-cert", `Subject="`+strings.Repeat(`,hash=`, n)+`"`)
	},
	"keys in XFCC":            func(n int) Raw { return one("x-forwarded-client-cert", strings.Repeat("a=;", n)) },
	"Authorization":           func(n int) Raw { return one("authorization", "Bearer "+strings.Repeat("a", n)) },
	"a list in Authorization": func(n int) Raw { return one("authorization", "Digest "+strings.Repeat("a, ", n)) },
	"DPoP":                    func(n int) Raw { return one("dpop", strings.Repeat("a.", n)) },
	"Accept":                  func(n int) Raw { return one("accept", strings.Repeat("text/html;q=0.1;q=0.2,", n)) },
	"content types":           func(n int) Raw { return one("content-type", strings.Repeat("A;", n)) },
	"labels of a host":        func(n int) Raw { return host1(strings.Repeat("a.", n)) },
	"a long label":            func(n int) Raw { return host1(strings.Repeat("1", n)) },
	"colons in a host":        func(n int) Raw { return host1("[" + strings.Repeat("1:", n) + "]") },
	"a long method":           func(n int) Raw { r := raw("/"); r.Method = strings.Repeat("A", n); return r },
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func lines(n int, name, value string) Raw {
	r := raw("/")
	for i := range n {
		name := name
		if strings.Contains(name, "%") {
			name = fmt.Sprintf(name+"%.0s", i, "same")
		}
		r.Headers = append(r.Headers, Field{name, value})
	}
	return r
}

func one(name, value string) Raw {
	r := raw("/")
	r.Headers = []Field{{name, value}}
	return r
}

func host1(h string) Raw {
	r := raw("/")
	r.Host = h
	return r
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	f() // what is made once
	var before, after runtime.MemStats
	least := ^uint64(0)
	for range 5 { // the least, as the runtime allocates too
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// What is read of a request before a token is verified costs at most in proportion to its
// size, with no limit in the way; and with the limits as they are by default, the largest
// that is read costs no more than a few times its size.
func TestCostIsLinear(t *testing.T) {
	none := 1 << 30
	wide := Options{MaxPath: none, MaxSegments: none, MaxQuery: none, MaxParameters: none, MaxHeaders: none,
		MaxLines: none, TrustedHops: 16, CertificateHop: 1}
	loose := wide
	for _, name := range Refusals() {
		loose.Allow(name)
	}
	const n = 4000
	for name, make := range hostile {
		for how, opt := range map[string]Options{"strict": wide, "with everything allowed": loose} {
			small, large := make(n), make(4*n)
			few := allocated(func() { _, _ = New(small, opt) })
			many := allocated(func() { _, _ = New(large, opt) })
			if many > 5*few+64<<10 {
				t.Errorf("%s, %s: %d bytes for %d of them, %d for %d", name, how, few, n, many, 4*n)
			}
		}
		large := make(1 << 16)
		if cost, limit := allocated(func() { _, _ = New(large, Options{TrustedHops: 16, CertificateHop: 1}) }),
			uint64(16*DefaultMaxHeaders); cost > limit {
			t.Errorf("%s: %d bytes are allocated with the default limits; want at most %d", name, cost, limit)
		}
	}
}

// Each limit holds at its value and not one before, and says which it is.
func TestLimits(t *testing.T) {
	for name, v := range map[string]struct {
		opt  Options
		make func(n int) Raw
	}{
		"limits.path": {Options{MaxPath: 9}, func(n int) Raw {
			return raw("/" + strings.Repeat("a", n-1))
		}},
		"limits.segments": {Options{MaxSegments: 9}, func(n int) Raw { return raw(strings.Repeat("/a", n)) }},
		"limits.query": {Options{MaxQuery: 9}, func(n int) Raw {
			return raw("/?" + strings.Repeat("a", n))
		}},
		"limits.query_parameters": {Options{MaxParameters: 9}, func(n int) Raw {
			return raw("/?a" + strings.Repeat("&a", n-1))
		}},
		"limits.headers": {Options{MaxHeaders: 9}, func(n int) Raw {
			return one("x", strings.Repeat("a", n-1))
		}},
		"limits.header_lines": {Options{MaxLines: 9}, func(n int) Raw { return lines(n, "x", "y") }},
	} {
		if _, err := New(v.make(9), v.opt); err != nil {
			t.Errorf("%s: 9 are refused: %v", name, err)
		}
		if _, err := New(v.make(10), v.opt); !errors.Is(err, ErrAmbiguous) || !strings.Contains(
			err.Error(), "("+name+")") {
			t.Errorf("%s: 10 are not: %v", name, err)
		}
	}
}

// What is shown of a request that was refused says who asked for what, and no secret.
func TestAsked(t *testing.T) {
	token := "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
	for target, want := range map[string]string{
		"/%2561dmin":                       "/%2561dmin",
		"/x/../admin?code=SECRET":          "/x/../admin",
		"/a#access_token=SECRET":           "/a",
		"/a;jsessionid=SECRET/b":           "/a;jsessionid=[…]/b",
		"/a%zz/token=SECRET&x=SECRET":      "/a%zz/token=[…]&x=[…]",
		"/%zz/" + token + "/x":             "/%zz/[…]/x",
		"http://alice:SECRET@a.test/admin": "[…]@a.test/admin",
		"/a\r\nb\x1b[31m":                  `/a\x0d\x0ab\x1b[31m`,
		"/\u202eadmin\u0085\xff":           `/\xe2\x80\xaeadmin\xc2\x85\xff`,
		"":                                 "",
		"*":                                "*",
	} {
		r, _ := New(raw(target), Options{})
		if r.Asked != want {
			t.Errorf("%q is shown as %q; want %q", target, r.Asked, want)
		}
	}
	long := raw("/" + strings.Repeat("\xff", 1<<20))
	if r, _ := New(long, Options{}); len(r.Asked) > maxAsked+8 || !strings.HasSuffix(r.Asked, "…") {
		t.Errorf("%d bytes are shown", len(r.Asked))
	}
}
