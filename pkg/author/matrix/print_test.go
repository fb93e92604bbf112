package matrix_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/matrix"
)

// What is public is found whatever else its rule says, and a refusal that nobody is
// asked about first is seen beside it.
func TestPublic(t *testing.T) {
	const text = `package stepward.policy
import rego.v2
require contains {"level": "anonymous", "reason": "a page"} if input.request.path in {"/", "/gone", "/maybe"}
require contains {"level": "anonymous", "reason": "more"} if { input.request.path == "/"; input.request.headers["x"] == "1" }
require contains {"level": "authenticated"} if not input.request.path in {"/", "/gone", "/maybe"}
deny contains {"code": "gone"} if input.request.path == "/gone"
deny contains {"code": "inner"} if input.request.path == "/inner"
deny contains {"code": "always", "always": true} if input.request.path == "/always"
deny contains {"code": input.request.headers["x"], "always": true} if input.request.path == "/maybe"
`
	m := made(t, text, "GET /\nGET /gone\nGET /inner\nGET /always\nGET /maybe\n")
	if got := strings.Join(m.Public(), "|"); got != "GET /" {
		t.Errorf("public: %s", got)
	}
	for path, want := range map[string][2]int{"/": {0, 0}, "/gone": {1, 0}, "/inner": {0, 0}, "/always": {1, 0},
		"/maybe": {0, 1}} {
		for _, r := range m.Rows {
			denies := len(slices.DeleteFunc(slices.Clone(r.If), func(i matrix.If) bool { return i.Entry != "deny" }))
			if r.Path == path && r.Caller == "nobody" && (len(r.Denied) != want[0] || denies != want[1]) {
				t.Errorf("%s: refused by %v, and perhaps by %d", path, r.Denied, denies)
			}
		}
	}
}

func TestPrint(t *testing.T) {
	m := made(t, table, "GET /\nPOST /payments/**\nGET /gone\n/{any}\n")
	for format, want := range map[string][]string{
		"text": {"GET     /             everybody  anonymous", "mfa, max_age 300s", "refused by",
			"public (1):\n  GET /"},
		"markdown": {"| GET | `/` | everybody | anonymous |", "Public: GET /"},
		"json":     {`"level": "mfa"`, `"max_age": 300`, `"caller": "program"`},
		"html":     {"<code>/payments/**</code>", `class="public"`, "<!doctype html>"},
	} {
		var b bytes.Buffer
		if err := m.Print(&b, format); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%s: no %q in\n%s", format, w, b.String())
			}
		}
		if format == "json" {
			if again, err := matrix.ParseMatrix(b.Bytes()); err != nil || len(again.Rows) != len(m.Rows) {
				t.Error("what is written is not read again", err)
			}
		}
	}
}

// What is written as JSON and read again is the same matrix: in JSON, in words and by a diff.
func TestJSON(t *testing.T) {
	_, _, ladder := load(t)
	m := made(t, table+`require contains {"acr": ["2", "1"], "token_age": "1h", "audience": {"b", "a<b"}} if input.request.segments[0] == "more"
require contains {"level": "password", "issuer": ["https://idp.example.com"], "sender_constrained": true, "amr": ["otp"], "token_age": 90} if input.request.segments[0] == "more"
`, "GET /\nPOST /payments/**\nGET /gone\nGET /more\nGET /admin/x\n/{any}\n")
	var text, second, words bytes.Buffer
	if err := m.Print(&text, "json"); err != nil {
		t.Fatal(err)
	}
	again, err := matrix.ParseMatrix(text.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Print(&second, "json"); err != nil || second.String() != text.String() {
		t.Errorf("%v: %s\nis read as\n%s", err, &text, &second)
	}
	if changes := matrix.Diff(again, m, ladder); len(changes) > 0 || len(matrix.Diff(m, again, ladder)) > 0 {
		t.Errorf("%+v", changes)
	}
	if err := again.Print(&words, "text"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"amr otp", `acr ["2","1"]`, `audience ["a\u003cb","b"]`, `token_age "1h"`,
		`token_age "1m30s"`, "sender_constrained true"} {
		if !strings.Contains(words.String(), want) {
			t.Errorf("no %s in\n%s", want, &words)
		}
	}
}
