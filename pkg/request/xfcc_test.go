package request

import (
	"strings"
	"testing"
)

var (
	hashA = strings.Repeat("a1", 32)
	hashB = strings.Repeat("b2", 32)
	b64A  = "oaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaE"
	b64B  = "srKysrKysrKysrKysrKysrKysrKysrKysrKysrKysrI"
)

// MT-02: the configured hop counts, and what a client has put before it does not.
func TestClientCertificate(t *testing.T) {
	for name, v := range map[string]struct {
		lines []string
		hop   int
		want  string
	}{
		"not configured":            {[]string{"Hash=" + hashA}, 0, ""},
		"one element":               {[]string{"By=spiffe://a;Hash=" + hashA + `;Subject="CN=x, O=\"y;z\""`}, 1, b64A},
		"the last of two":           {[]string{"Hash=" + hashB + ",Hash=" + hashA}, 1, b64A},
		"the one before it":         {[]string{"Hash=" + hashB + ",Hash=" + hashA}, 2, b64B},
		"over two lines":            {[]string{"Hash=" + hashB, "Hash=" + hashA}, 1, b64A},
		"fewer than configured":     {[]string{"Hash=" + hashA}, 2, ""},
		"a hash in a subject":       {[]string{`Subject="Hash=` + hashB + `,Hash=` + hashB + `";Hash=` + hashA}, 1, b64A},
		"upper case":                {[]string{"HASH=" + strings.ToUpper(hashA)}, 1, b64A},
		"none":                      {nil, 1, ""},
		"no hash":                   {[]string{"By=x"}, 1, ""},
		"two hashes":                {[]string{"Hash=" + hashA + ";Hash=" + hashB}, 1, ""},
		"a short hash":              {[]string{"Hash=a1a1"}, 1, ""},
		"not hexadecimal":           {[]string{"Hash=" + strings.Repeat("zz", 32)}, 1, ""},
		"a quote that does not end": {[]string{`Subject="x;Hash=` + hashA}, 1, ""},
		"a quote in the middle":     {[]string{`Subject=x"y;Hash=` + hashA}, 1, ""},
		"something after a quote":   {[]string{`Subject="x"y;Hash=` + hashA}, 1, ""},
		"a comma at the end":        {[]string{"Hash=" + hashA + ","}, 1, ""},
		"empty":                     {[]string{""}, 1, ""},
	} {
		if got := clientCertificate(Headers{"x-forwarded-client-cert": v.lines}, v.hop); got != v.want {
			t.Errorf("%s: %q; want %q", name, got, v.want)
		}
	}
}

// Whatever stands before it, the last proxy's own element is what is read, or nothing.
func FuzzClientCertificate(f *testing.F) {
	f.Add(`By=x;Hash=00;Subject="\"`)
	f.Add("Hash=" + hashB + ",")
	f.Add(`"`)
	f.Fuzz(func(t *testing.T, sent string) {
		got := clientCertificate(Headers{"x-forwarded-client-cert": {sent + ",Hash=" + hashA}}, 1)
		if got != "" && got != b64A {
			t.Fatalf("%q is read as %q", sent, got)
		}
	})
}
