package output

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/run/doctor"
)

// A line says what is missing, even if the level is there and the age is not.
func TestDecisionLine(t *testing.T) {
	for _, c := range []struct {
		answer explain.Answer
		lacks  []explain.Missing
		level  string
		want   string
	}{
		{explain.Answer{Result: "challenge", Reason: "insufficient_level", Status: 401}, []explain.Missing{
			{Part: "level"}}, "password", `"alice" has password, needs mfa` + "\n"},
		{explain.Answer{Result: "challenge", Reason: "stale_authentication", Status: 401}, []explain.Missing{
			{Part: "age"}}, "mfa", `"alice" has mfa, needs mfa, more recent` + "\n"},
		{explain.Answer{Result: "allow", Reason: "ok", Allowed: true}, nil, "mfa", `"alice" has mfa` + "\n"},
	} {
		var out strings.Builder
		(&Painter{Out: &out}).Decision(explain.Explanation{Level: c.level, Needs: "mfa", Token: &explain.Token{
			Subject: "alice"}, Missing: c.lacks, Answer: c.answer})
		if !strings.HasSuffix(out.String(), c.want) {
			t.Errorf("%q; want %q at its end", out.String(), c.want)
		}
	}
}

// An allow is green and nothing else is; without colours nothing is painted.
func TestColours(t *testing.T) {
	for status, want := range map[int]string{200: Green, 204: Green, 302: Blue, 400: Red, 401: Yellow, 403: Red,
		503: Red} {
		if got := StatusColour(status); got != want {
			t.Errorf("%d is %s; want %s", status, got, want)
		}
	}
	for _, colour := range []bool{true, false} {
		var out strings.Builder
		p := &Painter{Out: &out, Colour: colour}
		p.Decision(explain.Explanation{Rule: "r", Answer: explain.Answer{Allowed: true}})
		p.Symptom(doctor.Symptom{Name: "listen", Grade: "fail", Detail: "in use\nby another", Hint: "stop it"})
		if got := strings.Contains(out.String(), "\x1b["); got != colour {
			t.Errorf("%q", out.String())
		}
		if !strings.Contains(out.String(), "in use\n"+strings.Repeat(" ", 27)+"by another\n") || !strings.Contains(
			out.String(), "stop it") {
			t.Errorf("%q", out.String())
		}
	}
}

func TestWords(t *testing.T) {
	if got := OneOf([]string{"a", "b", "c"}); got != "a, b or c" {
		t.Error(got)
	}
	for name, want := range map[string]string{"a/b.yaml": "a/b.yaml", "with space": "'with space'", "it's": `'it'\''s'`,
		"$(x)": "'$(x)'", "": "''"} {
		if got := Quoted(name); got != want {
			t.Errorf("%q: %s; want %s", name, got, want)
		}
	}
	var out strings.Builder
	if err := JSON(&out, map[string]int{"a": 1}); err != nil || out.String() != "{\n  \"a\": 1\n}\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestBar(t *testing.T) {
	text := bytes.Repeat([]byte("x"), 3<<20)
	b := NewBar("log", bytes.NewReader(text), int64(len(text)))
	defer b.Close()
	if got := b.text(time.Second); got != "[..............................]   0 %  log: 0 MB, 0 MB/s" {
		t.Error(got)
	}
	if _, err := io.CopyN(io.Discard, b, 1<<20); err != nil {
		t.Fatal(err)
	}
	if got := b.text(time.Second); got != "[##########....................]  33 %  log: 1 MB, 1 MB/s" {
		t.Error(got)
	}
	if read, err := io.ReadAll(b); err != nil || len(read) != 2<<20 {
		t.Fatal(len(read), err)
	}
	if b.all = 0; b.text(time.Second) != "log: 3 MB, 3 MB/s" {
		t.Error(b.text(time.Second))
	}
	var out strings.Builder
	drawn := &Bar{name: "log", start: time.Now(), stop: make(chan struct{}), stopped: make(chan struct{})}
	go drawn.run(&out)
	if drawn.Close(); !strings.HasPrefix(out.String(), "\r\x1b[Klog: 0 MB") || !strings.HasSuffix(out.String(), "\n") {
		t.Errorf("%q", out.String())
	}
}
