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
		"not configured":        {[]string{"Hash=" + hashA}, 0, ""},
		"one element":           {[]string{"By=spiffe://a;Hash=" + hashA + `;Subject="CN=x, O=\"y;z\""`}, 1, b64A},
		"the last of two":       {[]string{"Hash=" + hashB + ",Hash=" + hashA}, 1, b64A},
		"the one before it":     {[]string{"Hash=" + hashB + ",Hash=" + hashA}, 2, b64B},
		"over two lines":        {[]string{"Hash=" + hashB, "Hash=" + hashA}, 1, b64A},
		"fewer than configured": {[]string{"Hash=" + hashA}, 2, ""},
		"a hash in a subject": {[]string{`Subject="Hash=` + hashB + `,Hash=` + hashB + `";Hash=` + hashA}, 1,
			b64A},
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

		// Envoy puts no quotes around URI and DNS, which the owner of a certificate chooses.
		"a comma in a URI": {
			[]string{"By=spiffe://gw;Hash=" + hashA + ";URI=spiffe://x,Hash=" + hashB}, 1, ""},
		"a whole element in a URI": {
			[]string{"Hash=" + hashA + ";URI=spiffe://x,By=spiffe://gw;Hash=" + hashB +
				`;Subject="CN=b";URI=spiffe://y`}, 1, ""},
		"a comma in a DNS name": {[]string{"Hash=" + hashA + `;Subject="CN=a";DNS=x,Hash=` + hashB},
			1, ""},
		"a second Hash in a URI": {[]string{"Hash=" + hashA + ";URI=x;Hash=" + hashB}, 1, ""},
		"a Hash after a URI":     {[]string{"URI=x;Hash=" + hashA}, 1, ""},
		"a comma that shifts hop 2": {
			[]string{"Hash=" + hashA + ";URI=x,Hash=" + hashB + ",By=gw;Hash=" + hashA}, 2, ""},
		"a URI without comma": {
			[]string{"By=spiffe://gw;Hash=" + hashA + `;Subject="CN=a, O=b";URI=spiffe://x;DNS=a.test`}, 1, b64A},
		"hop 2 of two, both with URIs": {
			[]string{"Hash=" + hashB + ";URI=spiffe://x,By=spiffe://gw;Hash=" + hashA + ";URI=spiffe://gw"}, 2, b64B},
		"hop 1 of two, the first with a URI": {
			[]string{"Hash=" + hashB + ";URI=spiffe://x,By=spiffe://gw;Hash=" + hashA + ";URI=spiffe://gw"}, 1, ""},
		"a quoted URI": {
			[]string{`Hash=` + hashB + `;URI="spiffe://x,Hash=0",Hash=` + hashA}, 1, b64A},
		"a quote that swallows the next": {[]string{`Subject="a`, "Hash=" + hashA + `;URI=";Hash=` + hashB}, 1,
			""},
		"a quote that swallows the next, with By": {
			[]string{`Subject="a`, "By=x;Hash=" + hashA + `;Subject="` + `;Hash=` + hashB}, 1, ""},
	} {
		r := Request{Headers: Headers{"x-forwarded-client-cert": v.lines}}
		r.certificate(v.hop)
		if r.ClientCertificate != v.want {
			t.Errorf("%s: %q; want %q", name, r.ClientCertificate, v.want)
		}
		if doubted := len(r.Doubts) > 0; doubted != (v.want == "" && v.hop > 0 && v.lines != nil) {
			t.Errorf("%s: doubts %q", name, r.Doubts)
		}
	}
}

// Whatever stands before it, and whatever names its certificate has, the last proxy's own
// element is what is read, or nothing.
func FuzzClientCertificate(f *testing.F) {
	f.Add(`By=x;Hash=00;Subject="\"`, "spiffe://x", "CN=x")
	f.Add("Hash="+hashB+",", "x,Hash="+hashB, "CN=x")
	f.Add(`"`, `";Hash=`+hashB, "")
	f.Add(`Subject="`, `x";Hash=`+hashB, "")
	f.Fuzz(func(t *testing.T, sent, uri, subject string) {
		own := "By=spiffe://gw;Hash=" + hashA + `;Subject="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(
			subject) + `";URI=` + uri
		for _, header := range []string{own, sent + "," + own, sent + ",Hash=" + hashA} {
			r := Request{Headers: Headers{"x-forwarded-client-cert": {header}}}
			r.certificate(1)
			if r.ClientCertificate != "" && r.ClientCertificate != b64A {
				t.Fatalf("%q is read as %q", header, r.ClientCertificate)
			}
			if (r.ClientCertificate == "") != (len(r.Doubts) == 1) {
				t.Fatalf("%q: certificate %q, doubts %q", header, r.ClientCertificate, r.Doubts)
			}
		}
	})
}
