package authz_test

import (
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
)

// cookieLogin remembers what it asked for in two cookies.
type cookieLogin struct{ begun *int }

func (l cookieLogin) Reaches(r request.Request) bool { return r.Kind.Interactive() }
func (l cookieLogin) Begin(_ request.Request, ask stepup.Ask) authz.Departure {
	*l.begun++
	return authz.Departure{Location: "https://login.example.com/?acr=" + ask.ACRValues[0], Cookies: []string{"a=1", "b=2"}}
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
		"a person":                  {cookieLogin{&begun}, "GET", navigation, 302, 1, "https://login.example.com/?acr=loa:2"},
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
			if r.Response.Status != v.status || begun != v.begun || cookies != 2*v.begun || header(r.Response.Headers, "location") != v.location {
				t.Errorf("%d with %d cookies, begun %d times: %v", r.Response.Status, cookies, begun, r.Response.Headers)
			}
			if v.status == 401 && v.begun == 1 && !strings.Contains(r.Response.Body, "https://login.example.com/?acr=loa:2") {
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
