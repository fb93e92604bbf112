package explain_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/request"
)

// The path arrives as it was written, and not as a parser repairs it.
func TestAsked(t *testing.T) {
	for url, want := range map[string][3]string{
		"https://app.example.com/payments":    {"https", "app.example.com", "/payments"},
		"https://app.example.com":             {"https", "app.example.com", "/"},
		"https://app.example.com?a=1":         {"https", "app.example.com", "/?a=1"},
		"http://h:8080/x/..%2f/%zz;a?b#c":     {"http", "h:8080", "/x/..%2f/%zz;a?b#c"},
		"https://h/a/../admin?u=https://evil": {"https", "h", "/a/../admin?u=https://evil"},
	} {
		raw, err := explain.Asked{Method: "GET", URL: url}.Raw()
		if got := [3]string{raw.Scheme, raw.Host, raw.Target}; err != nil || got != want || raw.Size != -1 {
			t.Errorf("%s: %q, %v; want %q", url, got, err, want)
		}
	}
	if _, err := (explain.Asked{URL: "app.example.com/x"}).Raw(); err == nil || !strings.Contains(
		err.Error(), "nor a URL, such as https://app.example.com/x") {
		t.Error(err)
	}
	if _, err := (explain.Asked{URL: "https://h/", Headers: []string{"accept json"}}).Raw(); err == nil {
		t.Error("a header without a colon is taken")
	}
}

func TestAskedHeaders(t *testing.T) {
	raw, err := explain.Asked{Method: "POST", URL: "https://h/", Headers: []string{"accept: a:b", "X-Empty:"},
		Token: "abc", Extensions: map[string]string{"stepward.level": "mfa"}}.Raw()
	if err != nil {
		t.Fatal(err)
	}
	want := []request.Field{{Name: "accept", Value: "a:b"}, {Name: "X-Empty", Value: ""},
		{Name: "authorization", Value: "Bearer abc"}}
	if !reflect.DeepEqual(raw.Headers, want) || raw.Route.Extensions["stepward.level"] != "mfa" ||
		!explain.HasAuthorization(raw) {
		t.Errorf("%+v", raw)
	}
	if raw, err := (explain.Asked{URL: "https://h/", Headers: []string{
		"x-authorization: Bearer abc"}}).Raw(); err != nil || explain.HasAuthorization(raw) {
		t.Errorf("%+v has a credential, %v", raw.Headers, err)
	}
}

// What a token says of itself is shown, and its signature never.
func TestClaimed(t *testing.T) {
	const header, claims, signature = "eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ",
		"eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlLmNvbSJ9", "c2lnbmF0dXJl"
	raw := func(value string) request.Raw {
		return request.Raw{Headers: []request.Field{{Name: "accept", Value: "x y"},
			{Name: "Authorization", Value: value}}}
	}
	got := explain.Claimed(raw("Bearer " + header + "." + claims + "." + signature))
	if !strings.Contains(got, `iss "https://idp.example.com"`) || strings.Contains(got, signature) {
		t.Errorf("%q", got)
	}
	if got := explain.Claimed(raw("Bearer abc")); !strings.HasPrefix(got, "nothing that can be read: ") {
		t.Errorf("%q", got)
	}
	if got := explain.Claimed(raw("abc")); got != "" {
		t.Errorf("%q", got)
	}
	if got := explain.Claimed(request.Raw{}); got != "" {
		t.Errorf("%q", got)
	}
}
