package address_test

import (
	"testing"

	"github.com/stepward/stepward/pkg/config/address"
)

func TestCheckURL(t *testing.T) {
	for s, ok := range map[string]bool{
		"https://idp.example.com": true, "http://127.0.0.1:8080/jwks": true, "http://[::1]/x": true,
		"http://localhost/x":     true,
		"http://idp.example.com": false, "https://u@idp.example.com": false, "https://idp.example.com/#x": false,
		"idp.example.com": false, "": false, "http://localhost.example.com": false,
		"http://127.0.0.1.example.com": false, "ftp://127.0.0.1": false, "https://": false, "//idp.example.com": false,
		"https://%zz": false,
	} {
		if err := address.CheckURL(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestLiteral(t *testing.T) {
	for s, want := range map[string]string{
		"https://127.0.0.1:1/x": "127.0.0.1", "https://[fd00::1]/": "fd00::1", "http://localhost:1": "localhost",
		"https://10.0.0.1":        "10.0.0.1",
		"https://idp.example.com": "", "https://localhost.example.com": "", "": "", "https://%zz": "",
	} {
		if host, ok := address.Literal(s); ok != (want != "") || ok && host != want {
			t.Errorf("%q: %q, %v; want %q", s, host, ok, want)
		}
	}
}
