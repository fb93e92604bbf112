package authz_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
)

// cookieLogin remembers what it asked for in two cookies.
type cookieLogin struct{ begun *int }

func (l cookieLogin) Reaches(r request.Request) bool { return r.Kind.Interactive() }
func (l cookieLogin) Begin(_ request.Request, ask stepup.Ask) authz.Departure {
	*l.begun++
	return authz.Departure{Location: "https://login.example.com/?acr=" + ask.ACRValues[0], Cookies: []string{
		"a=1", "b=2"}}
}
func (l cookieLogin) Link(r request.Request, _ stepup.Ask) string {
	return "https://login.example.com" + r.Path
}

// A login begins for a person who lacks something, and for nobody else. What it begins with
// goes with the answer.
func TestLogin(t *testing.T) {
	begun := 0
	a := newAuthorizer(t, requires(stepup.Requirement{Level: "mfa"}))
	navigation := []string{"sec-fetch-mode", "navigate", "sec-fetch-dest", "document", "accept", "text/html"}
	for name, v := range map[string]struct {
		login         authz.Login
		method        string
		headers       []string
		status, begun int
		location      string
	}{
		"a person": {cookieLogin{&begun}, "GET", navigation, 302, 1,
			"https://login.example.com/?acr=loa:2"},
		"a person who sent a form":  {cookieLogin{&begun}, "POST", navigation, 401, 1, ""},
		"a program":                 {cookieLogin{&begun}, "GET", nil, 401, 0, ""},
		"a person with enough":      {cookieLogin{&begun}, "GET", append(bearer("two"), navigation...), 0, 0, ""},
		"a person without a login":  {nil, "GET", navigation, 401, 0, ""},
		"a program without a login": {nil, "GET", bearer("one"), 401, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			begun = 0
			a.Answers.Login = v.login
			raw := get("/pay", v.headers...)
			raw.Method = v.method
			r := a.Authorize(t.Context(), raw)
			cookies := 0
			for _, f := range r.Response.Headers {
				if f.Name == "set-cookie" {
					cookies++
				}
			}
			if r.Response.Status != v.status || begun != v.begun || cookies != 2*v.begun || header(r.Response.Headers,
				"location") != v.location {
				t.Errorf("%d with %d cookies, begun %d times: %v", r.Response.Status, cookies, begun,
					r.Response.Headers)
			}
			if v.status == 401 && v.begun == 1 && !strings.Contains(r.Response.Body,
				"https://login.example.com/?acr=loa:2") {
				t.Errorf("the page leads nowhere: %s", r.Response.Body)
			}
		})
	}
	for login, want := range map[authz.Login]bool{cookieLogin{&begun}: true, nil: false} {
		a.Answers.Login = login
		r := a.Authorize(t.Context(), get("/pay", bearer("one")...))
		if got := strings.Contains(r.Response.Body, `"step_up_uri":"https://login.example.com/pay"`); got != want {
			t.Errorf("%v: %s", login, r.Response.Body)
		}
	}
}

func TestBrowser(t *testing.T) {
	a := newAuthorizer(t, requires(stepup.Requirement{Level: "mfa", MaxAge: stepup.AgeOf(0)}))
	login := authz.LoginRedirect{URL: &url.URL{Scheme: "https", Host: "login.example.com", Path: "/step-up",
		RawQuery: "k=v"}, Hosts: []string{"app.example.com"}}
	a.Answers.Login = login
	navigation := []string{"sec-fetch-mode", "navigate", "sec-fetch-dest", "document", "accept", "text/html"}

	r := a.Authorize(t.Context(), get("/pay/%C3%A9?x=1&y=%2F", navigation...))
	location, err := url.Parse(header(r.Response.Headers, "location"))
	if err != nil || r.Response.Status != 302 || r.Result() != stepup.ResultRedirect ||
		location.Host != "login.example.com" {
		t.Fatalf("%d %s", r.Response.Status, location)
	}
	for name, want := range map[string]string{"acr_values": "loa:2", "max_age": "0",
		"return_to": "https://app.example.com/pay/%C3%A9?x=1&y=%2F", "k": "v"} {
		if got := location.Query().Get(name); got != want {
			t.Errorf("%s=%q; want %q", name, got, want)
		}
	}
	// A demonstration on loopback comes by another origin; an unlisted host gains none.
	login.InsecureOrigin = func(host string) string {
		return map[string]string{"app.example.com": "http://127.0.0.1:8080"}[host]
	}
	a.Answers.Login = login
	for host, want := range map[string]string{"app.example.com": "http://127.0.0.1:8080/pay?x=1", "evil.example": ""} {
		raw := get("/pay?x=1", navigation...)
		raw.Host = host
		there, err := url.Parse(header(a.Authorize(t.Context(), raw).Response.Headers, "location"))
		if err != nil || there.Query().Get("return_to") != want {
			t.Errorf("%s: %s", host, there)
		}
	}
	login.InsecureOrigin = func(string) string { return "" }
	a.Answers.Login = login
	if r := a.Authorize(t.Context(), get("/pay", navigation...)); !strings.Contains(
		header(r.Response.Headers, "location"), "return_to=https%3A%2F%2Fapp.example.com%2Fpay") {
		t.Errorf("without an origin of its own: %v", r.Response.Headers)
	}
	login.InsecureOrigin = nil
	a.Answers.Login = login
	post := get("/pay", navigation...)
	post.Method = "POST"
	if r := a.Authorize(t.Context(), post); r.Response.Status != 401 || r.Result() != stepup.ResultRedirect ||
		!strings.Contains(r.Response.Body, "https://login.example.com/step-up?") {
		t.Errorf("POST: %d %s %s", r.Response.Status, r.Result(), r.Response.Body)
	}
	evil := get("/pay", navigation...)
	evil.Host = "evil.example"
	if r := a.Authorize(t.Context(), evil); r.Response.Status != 401 || r.Result() != stepup.ResultChallenge {
		t.Errorf("a host that is not listed: %d %s", r.Response.Status, r.Result())
	}
	if r := a.Authorize(t.Context(), get("/pay", append(navigation, bearer("one")...)...)); r.Response.Status != 401 {
		t.Errorf("with Authorization: %d", r.Response.Status)
	}
	if r := a.Authorize(t.Context(), get("/pay")); r.Response.Status != 401 {
		t.Errorf("a program: %d", r.Response.Status)
	}
}

// No part of any answer reveals hidden requirements, whatever kind of client asks and
// whatever it brings. Only the login application can open what is sealed for it.
func TestHiddenFromEverybody(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	a := newAuthorizer(t, requires(stepup.Requirement{Level: "mfa", MaxAge: stepup.AgeOf(300 * time.Second),
		Detail: "Payments"}))
	a.Answers.HideRequirements = true
	seal, err := authz.NewSealer(key, a.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authz.NewSealer(key[:31], a.Now); err == nil {
		t.Error("a short key seals")
	}
	kinds := map[string][]string{
		"navigation": {"sec-fetch-mode", "navigate", "sec-fetch-dest", "document", "accept", "text/html"},
		"frame":      {"sec-fetch-mode", "navigate", "sec-fetch-dest", "iframe"}, "older browser": {
			"accept", "text/html,application/xhtml+xml"},
		"fetch": {"sec-fetch-mode", "cors", "sec-fetch-dest", "empty"}, "program": {},
		"gRPC":      {"content-type", "application/grpc"},
		"websocket": {"upgrade", "websocket", "sec-fetch-mode", "websocket", "connection", "upgrade"},
		"JSON":      {"accept", "application/json"},
	}
	sealed := 0
	for kind, fields := range kinds {
		for who, credential := range map[string][]string{"nobody": nil, "too little": bearer("one"),
			"a bad token": bearer("nonsense")} {
			for _, method := range []string{"GET", "HEAD", "POST"} {
				for _, open := range []func(stepup.Ask) string{nil, seal} {
					a.Answers.Login = authz.LoginRedirect{URL: &url.URL{Scheme: "https", Host: "login.example.com",
						Path: "/step-up"}, Hosts: []string{"app.example.com"}, Seal: open, Hide: true}
					raw := get("/pay", append(slices.Clone(fields), credential...)...)
					raw.Method = method
					r := a.Authorize(t.Context(), raw)
					text := r.Response.Body
					for _, f := range r.Response.Headers {
						text += "\n" + f.Name + ": " + f.Value
					}
					text = withoutChance(text, r.ID)
					for _, secret := range []string{"loa", "300", "mfa", "Payments", "acr_values", "max_age"} {
						if strings.Contains(text, secret) {
							t.Errorf("%s, %s, %s is told %q: %s", kind, who, method, secret, text)
						}
					}
					if r.Response.Kind == response.Allow {
						t.Errorf("%s, %s, %s is let in", kind, who, method)
					}
					if u, err := url.Parse(header(r.Response.Headers, "location")); err == nil && u.Query().Has(
						"step_up") {
						sealed++
						text, err := jwe.Decrypt([]byte(u.Query().Get("step_up")), jwe.WithKey(jwa.DIRECT, key))
						want := fmt.Sprintf(`{"acr_values":"loa:2","max_age":"300","iat":%d,"exp":%d}`, a.Now().Unix(),
							a.Now().Unix()+600)
						if err != nil || strings.TrimSpace(string(text)) != want {
							t.Errorf("%s, %v; want %s", text, err, want)
						}
						if _, err := jwe.Decrypt([]byte(u.Query().Get("step_up")),
							jwe.WithKey(jwa.DIRECT, []byte(strings.ToUpper(string(key))))); err == nil {
							t.Error("another key opens it")
						}
					}
				}
			}
		}
	}
	if sealed == 0 {
		t.Error("nobody was sent to the login")
	}
}

// withoutChance returns text without its random parts, whose digits are arbitrary: the id
// of the decision and encrypted text. The decoded header of the latter stays.
func withoutChance(text, id string) string {
	text = sealedText.ReplaceAllStringFunc(strings.ReplaceAll(text, id, ""), func(s string) string {
		header, err := base64.RawURLEncoding.DecodeString(sealedText.FindStringSubmatch(s)[1])
		if err != nil {
			return s
		}
		return string(header)
	})
	return text
}

// Only random parts are removed, and nothing next to them that could reveal something.
func TestWithoutChance(t *testing.T) {
	for text, want := range map[string]string{
		"step_up=eyJhbGciOiJkaXIifQ..300a.300.mfa&max_age=300": `step_up={"alg":"dir"}&max_age=300`,
		"eyJhIjozMDB9..a.b.c eyJhIjozMDB9.300.mfa":             `{"a":300} eyJhIjozMDB9.300.mfa`,
		"mfa 0a300f":    "mfa ",
		"in..300.mfa.x": "in..300.mfa.x",
	} {
		if got := withoutChance(text, "0a300f"); got != want {
			t.Errorf("%q is left of %q; want %q", got, text, want)
		}
	}
}
