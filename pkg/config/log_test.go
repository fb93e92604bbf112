package config_test

import (
	"fmt"
	"strings"
	"testing"
)

// Masks are JSON pointers into an input, and somebody must keep an input.
func TestMasks(t *testing.T) {
	for _, key := range []string{"mask", "keep"} {
		for _, p := range []string{"", "/", "/input", "/input/", "/output/x", "input/request/query",
			"/input/request/"} {
			_, err := parse(fmt.Appendf(nil, "%slog: { input: true, %s: [%q] }", least, key, p))
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("log.%s[0]: %q is not a JSON pointer", key,
				p)) {
				t.Errorf("%q is a pointer: %v", p, err)
			}
		}
		if _, err := parse(fmt.Appendf(nil, "%slog: { input: true, %s: [/input/token/claims/email] }", least,
			key)); err != nil {
			t.Error(err)
		}
		_, err := parse(fmt.Appendf(nil, "%slog: { %s: [/input/token/claims/email] }", least, key))
		if err == nil || !strings.Contains(err.Error(), "needs input: true") {
			t.Errorf("no input is kept, and %s is taken: %v", key, err)
		}
	}
}
