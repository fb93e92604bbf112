package introspection

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"
)

// A flood of made-up tokens drives no good answer out, and of a token whose answer has
// changed the new one alone is remembered.
func TestFloodOfUnknownTokens(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	c := New(Config{Now: func() time.Time { return at }})
	name := func(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }
	until := at.Add(time.Minute)
	c.keep(name("good"), Answer{Active: true, until: until})
	c.keep(name("revoked"), Answer{Active: true, until: until})
	c.keep(name("revoked"), Answer{until: until})
	for n := range maxActive + maxInactive {
		c.keep(name(fmt.Sprint("made up ", n)), Answer{until: until})
		if n == 0 {
			if a, known := c.known(name("revoked")); !known || a.Active {
				t.Errorf("revoked: %+v, %t", a, known)
			}
		}
	}
	if a, known := c.known(name("good")); !known || !a.Active {
		t.Errorf("good: %+v, %t", a, known)
	}
	if n := c.inactive.Len(); n > maxInactive {
		t.Errorf("%d answers about tokens that are not active", n)
	}
	at = until
	if a, known := c.known(name("good")); known {
		t.Errorf("good, after its time: %+v", a)
	}
}
