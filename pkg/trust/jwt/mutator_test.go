package jwt_test

import (
	"encoding/base64"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/trust/jwt"
)

// However good tokens are bent and spliced, none but they themselves are accepted.
// `make soak` tries a million.
func TestMutator(t *testing.T) {
	n := 20_000
	if times, err := strconv.Atoi(os.Getenv("STEPWARD_SOAK")); err == nil {
		n *= times
	}
	r := newRig(t, jwt.RFC9068)
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	known := map[string]bool{}
	var goods []string
	for _, kid := range []string{"es", "rs", "ps", "ed"} {
		for _, acr := range []string{"1", "2"} {
			raw := r.mint(t, testidp.Token{Key: kid, Claims: map[string]any{"acr": acr}})
			goods, known[raw] = append(goods, raw), true
		}
	}
	pick := func() string { return goods[rng.IntN(len(goods))] }
	for range n {
		raw := bend(rng, pick(), pick())
		_, err := r.verify(raw)
		if (err == nil) != known[raw] {
			t.Fatalf("%q: %v", raw, err)
		}
	}
}

// bend changes one token, with parts of another.
func bend(rng *rand.Rand, raw, other string) string {
	parts, others := strings.Split(raw, "."), strings.Split(other, ".")
	switch rng.IntN(7) {
	case 0: // a byte
		b := []byte(raw)
		b[rng.IntN(len(b))] = byte(rng.IntN(256))
		return string(b)
	case 1: // a byte more or less
		i := rng.IntN(len(raw))
		return raw[:i] + strings.Repeat(string(raw[i]), rng.IntN(3)) + raw[i+1:]
	case 2: // another's part
		i := rng.IntN(3)
		parts[i] = others[i]
	case 3: // parts in another order
		i, j := rng.IntN(3), rng.IntN(3)
		parts[i], parts[j] = parts[j], parts[i]
	case 4: // something else in the JSON
		i := rng.IntN(2)
		if text, err := base64.RawURLEncoding.DecodeString(parts[i]); err == nil {
			swaps := []string{`"1"`, `"2"`, `ES256`, `RS256`, `RS256`, `none`, `"es"`, `"rs"`, `alice`, `bob`, `}`,
				`,"acr":"2"}`, `{`, ` {`, `:`, `: `, `at+jwt`, `AT+JWT`}
			k := 2 * rng.IntN(len(swaps)/2)
			parts[i] = base64.RawURLEncoding.EncodeToString(
				[]byte(strings.Replace(string(text), swaps[k], swaps[k+1], 1)))
		}
	case 5: // cut
		return raw[:rng.IntN(len(raw)+1)]
	case 6: // spliced
		i := rng.IntN(min(len(raw), len(other)))
		return raw[:i] + other[i:]
	}
	return strings.Join(parts, ".")
}
