package credential_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
)

func TestExtract(t *testing.T) {
	for _, v := range []struct {
		header string
		want   credential.Credential
		err    error
	}{
		{"Bearer a.b.c", credential.Credential{Scheme: token.Bearer, Raw: "a.b.c"}, nil},
		{"bearer a.b.c", credential.Credential{Scheme: token.Bearer, Raw: "a.b.c"}, nil},
		{"BEARER   a.b.c", credential.Credential{Scheme: token.Bearer, Raw: "a.b.c"}, nil},
		{"DPoP a.b.c", credential.Credential{Scheme: token.DPoP, Raw: "a.b.c"}, nil},
		{"Bearer opaque~+/==", credential.Credential{Scheme: token.Bearer, Raw: "opaque~+/=="}, nil},
		{"Basic dTpw", credential.Credential{}, nil},
		{"BearerX a", credential.Credential{}, nil},
		{"", credential.Credential{}, nil},
		{"Bearer", credential.Credential{}, credential.ErrMalformed},
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
		{"dpop", credential.Credential{}, credential.ErrMalformed},
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
