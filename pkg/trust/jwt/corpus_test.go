package jwt_test

import (
	"errors"
	"runtime"
	"testing"

	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/jwt"
)

// JW-03, JW-11 and the others: thousands of tokens with one defect are refused for that
// reason, while a good one is accepted; and none costs more memory than a hundred times its
// size.
func TestCorpus(t *testing.T) {
	r := newRig(t, jwt.RFC9068)
	good, bad, err := r.idp.Corpus()
	if err != nil {
		t.Fatal(err)
	}
	if len(bad) < 2_500 {
		t.Fatalf("only %d bad tokens", len(bad))
	}
	if _, err := r.verify(good); err != nil {
		t.Fatal(err)
	}
	classes := map[string]int{}
	var costs, bytes uint64
	for _, b := range bad {
		classes[b.Class]++
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := r.verify(b.Raw)
		runtime.ReadMemStats(&after)
		// What grows at times, such as the table of refusals, is shared by all.
		cost := after.TotalAlloc - before.TotalAlloc
		if costs, bytes = costs+cost, bytes+uint64(len(b.Raw)); len(b.Raw) > 10_000 && cost > uint64(100*len(b.Raw)) {
			t.Errorf("%s %s: %d bytes for a token of %d", b.Class, b.Name, cost, len(b.Raw))
		}
		var failed *token.Error
		if !errors.As(err, &failed) {
			t.Errorf("%s %s is accepted: %v", b.Class, b.Name, err)
			continue
		}
		if b.Code != "" && string(failed.Code) != b.Code {
			t.Errorf("%s %s: %v; want %s", b.Class, b.Name, failed, b.Code)
		}
	}
	if _, err := r.verify(good); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if costs > 100*bytes {
		t.Errorf("%d bytes of memory for %d of tokens", costs, bytes)
	}
	t.Logf("%d bytes of memory for %d of tokens", costs, bytes)
	t.Logf("%d bad tokens of %d classes: %v", len(bad), len(classes), classes)
}
