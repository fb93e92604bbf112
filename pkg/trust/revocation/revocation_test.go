package revocation_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/revocation"
)

const issuer = "https://idp.example.com"

var now = time.Unix(1_800_000_000, 0)

func presented(jti, sid, sub string, issued time.Time) token.Token {
	return token.Token{Issuer: issuer, Subject: sub, IssuedAt: issued, Claims: map[string]any{"jti": jti, "sid": sid}}
}

// Every revocation refuses what it names, and nothing more.
func TestRevoked(t *testing.T) {
	good := presented("t1", "s1", "alice", now.Add(-time.Minute))
	for name, x := range map[string]struct {
		entry   revocation.Entry
		token   token.Token
		revoked bool
	}{
		"jti":              {revocation.Entry{Issuer: issuer, JTI: "t1"}, good, true},
		"another jti":      {revocation.Entry{Issuer: issuer, JTI: "t2"}, good, false},
		"another issuer":   {revocation.Entry{Issuer: issuer + "/", JTI: "t1"}, good, false},
		"sid":              {revocation.Entry{Issuer: issuer, SID: "s1"}, good, true},
		"a jti like a sid": {revocation.Entry{Issuer: issuer, SID: "t1"}, good, false},
		"sub":              {revocation.Entry{Issuer: issuer, Subject: "alice"}, good, true},
		"another sub":      {revocation.Entry{Issuer: issuer, Subject: "bob"}, good, false},
		"sub, issued after": {revocation.Entry{Issuer: issuer, Subject: "alice",
			Before: now.Add(-2 * time.Minute)}, good, false},
		"sub, issued then": {revocation.Entry{Issuer: issuer, Subject: "alice", Before: now.Add(-time.Minute)},
			good, true},
		"sub, nobody knows when": {revocation.Entry{Issuer: issuer, Subject: "alice", Before: time.Unix(1, 0)},
			presented("", "", "alice", time.Time{}), true},
		"a client without a sub": {revocation.Entry{Issuer: issuer, Subject: "alice"}, presented("t9", "", "", now),
			false},
		"a token without claims": {revocation.Entry{Issuer: issuer, JTI: "t1"}, token.Token{Issuer: issuer}, false},
		"a jti that is no string": {revocation.Entry{Issuer: issuer, JTI: "1"},
			token.Token{Issuer: issuer, Claims: map[string]any{"jti": 1}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			index := revocation.New(0, func() time.Time { return now })
			if index.Revoked(x.token) {
				t.Fatal("revoked before")
			}
			if _, err := index.Revoke(x.entry); err != nil {
				t.Fatal(err)
			}
			if index.Revoked(x.token) != x.revoked {
				t.Errorf("revoked: %t", !x.revoked)
			}
		})
	}
}

func TestRefusesEntries(t *testing.T) {
	index := revocation.New(0, func() time.Time { return now })
	for name, e := range map[string]revocation.Entry{
		"no issuer":       {JTI: "a"},
		"nothing":         {Issuer: issuer},
		"two things":      {Issuer: issuer, JTI: "a", SID: "b"},
		"before of a jti": {Issuer: issuer, JTI: "a", Before: now},
		"over":            {Issuer: issuer, JTI: "a", Until: now},
		"too long":        {Issuer: issuer, JTI: string(make([]byte, 2000))},
	} {
		if _, err := index.Revoke(e); err == nil || index.Len() != 0 {
			t.Errorf("%s is taken", name)
		}
	}
}

// A full index drops only expired entries, and a second revocation of the same thing
// revokes no less.
func TestBounds(t *testing.T) {
	clock := now
	index := revocation.New(3, func() time.Time { return clock })
	revoke := func(e revocation.Entry) error {
		e.Issuer = issuer
		_, err := index.Revoke(e)
		return err
	}
	for n := range 3 {
		if err := revoke(revocation.Entry{
			JTI: fmt.Sprint(n), Until: now.Add(time.Duration(n+1) * time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := revoke(revocation.Entry{JTI: "more"}); !errors.Is(err, revocation.ErrFull) {
		t.Errorf("one more than there is room for: %v", err)
	}
	if err := revoke(revocation.Entry{JTI: "0", Until: now.Add(time.Minute)}); err != nil {
		t.Errorf("the same again: %v", err)
	}
	clock = now.Add(30 * time.Minute)
	if !index.Revoked(presented("0", "", "", now)) {
		t.Error("a shorter word shortened the first")
	}
	clock = now.Add(61 * time.Minute)
	if index.Revoked(presented("0", "", "", now)) || len(index.Entries()) != 2 {
		t.Error("an entry is in force after its end")
	}
	if err := revoke(revocation.Entry{JTI: "more"}); err != nil || index.Len() != 3 || !index.Revoked(
		presented("more", "", "", now)) {
		t.Errorf("room that became free: %v, %d", err, index.Len())
	}
	if err := revoke(revocation.Entry{Subject: "alice"}); !errors.Is(err, revocation.ErrFull) {
		t.Errorf("full again: %v", err)
	}
}

func TestConcurrently(t *testing.T) {
	index := revocation.New(100, nil)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for i := range 200 {
				index.Revoke(revocation.Entry{Issuer: issuer, JTI: fmt.Sprint(n, i)})
				index.Revoked(presented(fmt.Sprint(n, i), "", "alice", now))
				index.Entries()
			}
		})
	}
	all.Wait()
	if index.Len() != 100 {
		t.Errorf("%d entries", index.Len())
	}
}

// BenchmarkRevoked measures what the index costs a request: 100,000 entries, against none,
// and while entries are added.
func BenchmarkRevoked(b *testing.B) {
	for name, size := range map[string]int{"empty": 0, "full": 100_000} {
		b.Run(name, func(b *testing.B) {
			index := revocation.New(200_000, nil)
			for n := range size {
				if _, err := index.Revoke(revocation.Entry{Issuer: issuer, JTI: fmt.Sprint(n)}); err != nil {
					b.Fatal(err)
				}
			}
			t := presented("x", "y", "alice", now)
			for b.Loop() {
				index.Revoked(t)
			}
		})
	}
}
