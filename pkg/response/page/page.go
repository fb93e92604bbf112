// Package page writes the pages that people see from Stepward itself: one that says why a
// request was refused, and one that moves on to a login. They work without a script, load
// nothing, and cannot be framed.
package page

import (
	"html/template"
	"strings"

	"github.com/stepward/stepward/pkg/request"
)

// Headers returns the headers of every page. They keep a page from being framed or made to
// run anything.
func Headers() []request.Field {
	return []request.Field{
		{Name: "content-type", Value: "text/html; charset=utf-8"},
		{Name: "content-security-policy", Value: "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; " +
			"form-action 'none'; frame-ancestors 'none'"},
		{Name: "referrer-policy", Value: "no-referrer"},
		{Name: "x-content-type-options", Value: "nosniff"},
	}
}

// Refusal says why a request was refused. Empty fields are left out.
type Refusal struct {
	Title, Detail, Reason string
	StepUpURI             string // where to sign in
	DecisionID            string // for the operator to find the decision
}

// HTML returns the page.
func (r Refusal) HTML() string { return render(refusal, r) }

// Move takes a browser on to Target by GET.
type Move struct{ Target, DecisionID string }

// HTML returns the page.
func (m Move) HTML() string { return render(move, m) }

// render fills t in with data, which holds strings only.
func render(t *template.Template, data any) string {
	var b strings.Builder
	_ = t.Execute(&b, data) // nothing but strings, into memory: cannot fail
	return b.String()
}

const style = `<style>body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1rem;` +
	`color:#1a1a1a;background:#fff}h1{font-size:1.4rem}small{color:#595959}` +
	`@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}small{color:#aaa}a{color:#8ab4f8}}</style>`

const head = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">`

var refusal = template.Must(template.New("refusal").Parse(head + `<title>{{.Title}}</title>` + style + `</head>
<body><main><h1>{{.Title}}</h1>{{with .Detail}}<p>{{.}}</p>{{end}}` +
	`{{with .StepUpURI}}<p><a href="{{.}}">Continue to sign in</a></p>{{end}}` +
	`<p><small>{{with .Reason}}{{.}} · {{end}}{{.DecisionID}}</small></p></main></body></html>
`))

var move = template.Must(template.New("move").Parse(head + `<meta http-equiv="refresh" content="0;url={{.Target}}">` +
	`<title>Stronger authentication required</title>` + style + `</head>
<body><main><h1>Stronger authentication required</h1>` +
	`<p>What you sent has not been carried out. Sign in, then send it again.</p>` +
	`<p><a href="{{.Target}}">Continue to sign in</a></p><p><small>{{.DecisionID}}</small></p></main></body></html>
`))
