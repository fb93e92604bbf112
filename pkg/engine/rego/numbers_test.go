package rego_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
)

// numbers is ways to compute with all numbers of a list in one call, which nothing
// interrupts, or one by one.
var numbers = map[string]string{
	"sum":        `d if sum(input.request.body.json) == 0`,
	"max":        `d if max(input.request.body.json) == 0`,
	"sort":       `d if sort(input.request.body.json)[0] == 0.5`,
	"comparison": `d if { some x in input.request.body.json; x == 0.5 }`,
	"product":    `d if { some x in input.request.body.json; x * x * x * x == 0.5 }`,
	"quotient":   `d if { some x in input.request.body.json; 1 / x == 0.5 }`,
	"remainder":  `d if { some x in input.request.body.json; ceil(x) % 7 == 8 }`,
	"rounding":   `d if { some x in input.request.body.json; round(x) + floor(x) == 0.5 }`,
	"abs":        `d if { some x in input.request.body.json; abs(x) == 0.5 }`,
	"format_int": `d if { some x in input.request.body.json; format_int(ceil(x), 2) == "" }`,
	"sprintf":    `d if { some x in input.request.body.json; sprintf("%d %v %f", [x, x, x]) == "" }`,
	"bits":       `d if { some x in input.request.body.json; bits.and(ceil(x), 7) == 8 }`,
	"json":       `d if json.unmarshal(json.marshal(input.request.body.json)) == []`,
	"to_number":  `d if { some x in input.request.body.json; to_number(sprintf("%v", [x])) == 0.5 }`,
	"a table":    `d if { some x in input.request.body.json; {1: 2}[x] == 0 }`,
}

func listOf(t *testing.T, number string, n int) policy.Input {
	t.Helper()
	parts := make([]string, n)
	for i := range parts {
		parts[i] = strings.Replace(number, "#", fmt.Sprint(1000+i), 1)
	}
	text := "[" + strings.Join(parts, ",") + "]"
	r, err := request.New(request.Raw{Method: "POST", Host: "app.example.com", Target: "/", Scheme: "https",
		Headers: []request.Field{{Name: "content-type", Value: "application/json"}}, Body: request.RawBody{
			Present: true, Bytes: []byte(text)}}, request.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return policy.Input{Request: r}
}

// What the worst numbers that are read cost stands in proportion to what ordinary ones do.
func TestNumbersStayCheap(t *testing.T) {
	const n = 500
	ordinary := listOf(t, "#.25", n)
	var worst []policy.Input
	for _, number := range []string{"#9e60", "-#9e60", "#1e-64", "#" + strings.Repeat("9", 60), "0." + strings.Repeat(
		"9", 54) + "#", "#.5E+60"} {
		worst = append(worst, listOf(t, number, n))
	}
	for name, rule := range numbers {
		p := must(t, asking+rule+"\n")
		allocated := func(in policy.Input) uint64 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := p.Evaluate(t.Context(), in)
			runtime.ReadMemStats(&after)
			if err != nil || len(r.Deny) != 0 {
				t.Fatalf("%s: %+v, %v", name, r, err)
			}
			return after.TotalAlloc - before.TotalAlloc
		}
		allocated(ordinary)
		control := allocated(ordinary)
		for _, in := range worst {
			if in.Request.Body.State != request.BodyJSON {
				t.Fatal(in.Request.Body.State)
			}
			if got := allocated(in); got > 100*control {
				t.Errorf("%s: %d bytes of memory, %d for ordinary numbers", name, got, control)
			}
		}
	}
}

// Larger ones, and more of the worst, are not read at all.
func TestNumbersTooLarge(t *testing.T) {
	p := must(t, asking+numbers["sum"]+"\n")
	for name, in := range map[string]policy.Input{
		"exponents": listOf(t, "#e30000", 4), "small": listOf(t, "#e-30000", 4), "a double's": listOf(t, "#e300", 4),
		"digits": listOf(t, "#"+strings.Repeat("9", 64), 4), "many of the worst": listOf(t, "#"+strings.Repeat("9", 60),
			1100),
	} {
		if _, err := p.Evaluate(t.Context(), in); !errors.Is(err, policy.ErrBody) ||
			in.Request.Body.State != request.BodyTooLarge {
			t.Errorf("%s: %s, %v", name, in.Request.Body.State, err)
		}
	}
}

// A function whose result grows with a number of the request is not there.
func TestUnboundedFunctions(t *testing.T) {
	for _, rule := range []string{`d if product(input.request.body.json) == 0`,
		`d if bits.lsh(1, input.request.body.json) == 0`} {
		_, err := load(t, rego.Options{}, asking+rule+"\n")
		var found finding.List
		if !errors.As(err, &found) || !strings.Contains(err.Error(), "multiply with *") {
			t.Errorf("%s: %v", rule, err)
		}
	}
}
