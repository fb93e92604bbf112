package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Step is one request of the story and the answer that it gets.
type Step struct {
	Title  string
	Why    string
	Method string
	Path   string
	Token  string   // query of the provider's /token; empty for none
	Header []string // "name: value"
	Body   string   // JSON, or empty

	Status   int
	Contains []string // in the answer, headers included; {ingress} is the gateway's address in a query
	Lacks    []string
}

// Story returns the steps of the demo, in order.
func Story() []Step {
	return []Step{
		{
			Title:  "Known traffic flows",
			Why:    "a valid token is all that /orders requires; the application learns who it is",
			Method: "GET", Path: "/orders", Token: "level=password",
			Status: 200, Contains: []string{"x-stepward-subject: alice", "x-stepward-level: password"},
		},
		{
			Title:  "A payment hits the stop sign",
			Why:    "the policy wants a second factor in the last five minutes, and the password is not one (RFC 9470)",
			Method: "POST", Path: "/payments", Token: "level=password",
			Status: 401, Contains: []string{`error="insufficient_user_authentication"`,
				`acr_values="urn:example:loa:2"`, `max_age="300"`},
		},
		{
			Title: "The stepped-up token passes", Why: "same user, second factor just now",
			Method: "POST", Path: "/payments", Token: "level=mfa",
			Status: 200, Contains: []string{"x-stepward-level: mfa", "got POST /payments"},
		},
		{
			Title:  "A second factor 301 seconds ago does not",
			Why:    "the token is new, the authentication is not: auth_time counts",
			Method: "POST", Path: "/payments", Token: "level=mfa&age=301",
			Status: 401, Contains: []string{`"stale_authentication"`, `max_age="300"`},
		},
		{
			Title:  "A forged header arrives stripped",
			Why:    "what the application reads under our names comes from us or is not there",
			Method: "GET", Path: "/orders", Token: "level=password", Header: []string{"x-stepward-subject: root",
				"x-tenant: evil"},
			Status: 200, Contains: []string{"x-stepward-subject: alice"}, Lacks: []string{"root", "evil"},
		},
		{
			Title:  "A browser is redirected",
			Why:    "a person can log in again; the login application is told what to ask for, and where to return",
			Method: "GET", Path: "/admin/users", Header: []string{"accept: text/html"},
			Status: 302, Contains: []string{
				"/step-up?acr_values=phr+phrh&max_age=900&return_to={ingress}%2Fadmin%2Fusers"}, Lacks: []string{
				"https%3A"},
		},
		{
			Title:  "A program without a token is told no secret",
			Why:    "it gets a plain challenge: who has shown nothing learns nothing of the requirement",
			Method: "POST", Path: "/payments",
			Status: 401, Contains: []string{`Bearer realm="api"`, "no_credentials"}, Lacks: []string{
				"acr_values", "max_age", "error="},
		},
		{
			Title: "An ambiguous path is refused", Why: "two readers could read it differently, so nobody gets to",
			Method: "GET", Path: "/orders/%252e%252e/admin", Token: "level=password",
			Status: 400, Contains: []string{"request_ambiguous"},
		},
	}
}

// Curl returns the step as a line to copy.
func (s Step) Curl(d *Demo) string {
	var b strings.Builder
	b.WriteString("curl -si")
	if s.Method != "GET" {
		fmt.Fprintf(&b, " -X %s", s.Method)
	}
	fmt.Fprintf(&b, " --path-as-is %s%s", d.Ingress, s.Path)
	if s.Token != "" {
		fmt.Fprintf(&b, " -H \"Authorization: Bearer $(curl -s '%s/token?%s')\"", d.Provider, s.Token)
	}
	for _, h := range s.Header {
		fmt.Fprintf(&b, " -H '%s'", h)
	}
	return b.String()
}

// Do sends the step's request. It returns the difference from the expected answer, or nil.
func (s Step) Do(ctx context.Context, d *Demo) error {
	client := &http.Client{
		Timeout:       time.Minute,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	authorization := ""
	if s.Token != "" {
		res, err := get(ctx, client, "GET", d.Provider+"/token?"+s.Token, nil, "")
		if err != nil {
			return err
		}
		authorization = "authorization: Bearer " + res.body
	}
	headers := append([]string{authorization}, s.Header...)
	if s.Body != "" {
		headers = append(headers, "content-type: application/json")
	}
	res, err := get(ctx, client, s.Method, d.Ingress+s.Path, headers, s.Body)
	if err != nil {
		return err
	}
	if res.status != s.Status {
		return fmt.Errorf("answered %d in place of %d:\n%s", res.status, s.Status, res.text)
	}
	for _, part := range s.Contains {
		part = strings.ReplaceAll(part, "{ingress}", url.QueryEscape(d.Ingress))
		if !strings.Contains(res.text, part) {
			return fmt.Errorf("the answer lacks %q:\n%s", part, res.text)
		}
	}
	for _, part := range s.Lacks {
		if strings.Contains(res.text, part) {
			return fmt.Errorf("the answer holds %q:\n%s", part, res.text)
		}
	}
	return nil
}

type answer struct {
	status     int
	body, text string // text is headers and body
}

func get(ctx context.Context, client *http.Client, method, target string, headers []string, body string) (
	answer, error) {
	u, err := url.Parse(target)
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for _, h := range headers {
		if name, value, ok := strings.Cut(h, ": "); ok {
			req.Header.Set(name, value)
		}
	}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return answer{}, err
	}
	var head strings.Builder
	if err := res.Header.Write(&head); err != nil {
		return answer{}, err
	}
	return answer{status: res.StatusCode, body: string(text), text: head.String() + "\n" + string(text)}, nil
}
