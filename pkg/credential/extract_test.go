package credential_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/request"
)

func TestExtract(t *testing.T) {
	for _, v := range []struct {
		header string
		want   credential.Credential
		err    error
	}{
		{"Bearer a.b.c", credential.Credential{Scheme: credential.Bearer, Raw: "a.b.c"}, nil},
		{"bearer a.b.c", credential.Credential{Scheme: credential.Bearer, Raw: "a.b.c"}, nil},
		{"BEARER   a.b.c", credential.Credential{Scheme: credential.Bearer, Raw: "a.b.c"}, nil},
		{"DPoP a.b.c", credential.Credential{Scheme: credential.DPoP, Raw: "a.b.c"}, nil},
		{"Bearer opaque~+/==", credential.Credential{Scheme: credential.Bearer, Raw: "opaque~+/=="}, nil},
		{"Basic dTpw", credential.Credential{}, nil},
		{"BearerX a", credential.Credential{}, nil},
		{"", credential.Credential{}, nil},
		{"Bearer", credential.Credential{}, nil}, // nothing at all behind it
		{"Bearer ", credential.Credential{}, credential.ErrMalformed},
		{"Bearer\ta", credential.Credential{}, credential.ErrMalformed},
		{"Bearer \ta", credential.Credential{}, credential.ErrMalformed},
		{"Bearer a b", credential.Credential{}, credential.ErrMalformed},
		{"Bearer a=b", credential.Credential{}, credential.ErrMalformed},
		{"Bearer ==", credential.Credential{}, credential.ErrMalformed},
		{`Bearer "a"`, credential.Credential{}, credential.ErrMalformed},
		{"Bearer:a", credential.Credential{}, credential.ErrMalformed},
		{"Bearer a\x00", credential.Credential{}, credential.ErrMalformed},
		{"Bearer\u00a0a", credential.Credential{}, credential.ErrMalformed},
		{"dpop", credential.Credential{}, nil},
	} {
		got, err := credential.Extract(request.Request{Headers: request.Headers{"authorization": {v.header}}})
		if got != v.want || !errors.Is(err, v.err) {
			t.Errorf("%q: %v, %v; want %v, %v", v.header, got, err, v.want, v.err)
		}
	}
	if got, err := credential.Extract(request.Request{}); got.Present() || err != nil {
		t.Errorf("without a header: %v, %v", got, err)
	}
}

// Whatever a client writes around "Bearer x", it is our credential whole or refused, and
// never taken for another scheme's: an upstream that skips what we do not would read an
// unverified token.
func TestWhatLooksLikeOurs(t *testing.T) {
	var around []string
	for c := range 256 {
		around = append(around, string([]byte{byte(c)}))
	}
	for _, c := range []rune{0x85, 0xa0, 0xad, 0x200b, 0x200e, 0x2003, 0x2028, 0x202f, 0x2060, 0x3000, 0xfeff, 0xff22,
		0x0392} {
		around = append(around, string(c))
	}
	for _, scheme := range []string{"Bearer", "bearer", "BEARER", "DPoP"} {
		for _, a := range around {
			for place, header := range map[string]string{
				"before": a + scheme + " x", "before and a space": a + " " + scheme + " x", "between": scheme + a + "x",
				"instead of the first letter": a + scheme[1:] + " x",
				"between, with a space":       scheme + a + " x", "after the space": scheme + " " + a + "x",
				"after": scheme + " x" + a, "inside of the scheme": scheme[:3] + a + scheme[3:] + " x",
			} {
				c, err := credential.Extract(request.Request{Headers: request.Headers{"authorization": {header}}})
				name, _, spaced := strings.Cut(header, " ")
				another := spaced && request.IsToken(name) && !strings.Contains(name, "!") && !strings.EqualFold(
					name, scheme)
				switch {
				case c.Present() && (!strings.EqualFold(name, scheme) || strings.ContainsAny(c.Raw, " \t")):
					t.Errorf("%s: %q is taken for %q", place, header, c.Raw)
				case !c.Present() && err == nil && !another:
					t.Errorf("%s: %q is taken for another scheme", place, header)
				}
			}
		}
	}
}

// Other schemes are of the same form, and are left to the upstream.
func TestOtherSchemes(t *testing.T) {
	for header, fine := range map[string]bool{
		"Basic dTpw": true, "Negotiate YII=": true, `Digest username="Mufasa", realm="a b", uri="/x?y=1"`: true,
		"AWS4-HMAC-SHA256 Credential=AKID/20260101/eu/s3/aws4_request, SignedHeaders=dpop;host, Signature=0a": true,
		"Negotiate": false, "Basic ": false, " Basic dTpw": false, "Basic dTpw ": false, "Basic\tdTpw": false,
		"Basic d\tT": false, "Basic d\xa0": false, "Basic d\u00a0": false, "Basic d!": false, "B!sic d": false,
		" ": false, "\t": false,
	} {
		c, err := credential.Extract(request.Request{Headers: request.Headers{"authorization": {header}}})
		if c.Present() || (err == nil) != fine || err != nil && !errors.Is(err, credential.ErrMalformed) {
			t.Errorf("%q: %v, %v", header, c, err)
		}
	}
}

// What is extracted is one token of the header, whole.
func FuzzExtract(f *testing.F) {
	for _, s := range []string{"Bearer a", "DPoP x=", "bearer  a b", "Bearer\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		c, err := credential.Extract(request.Request{Headers: request.Headers{"authorization": {header}}})
		if err != nil && c.Present() {
			t.Fatal("a credential beside an error")
		}
		if c.Present() && (!strings.HasSuffix(header, " "+c.Raw) || strings.ContainsAny(c.Raw, " \t\r\n\",")) {
			t.Errorf("%q gives %q", header, c.Raw)
		}
	})
}
