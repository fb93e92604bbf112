package keyset

import (
	"context"
	"fmt"
)

// Static is a key set that never changes, as one read from a file.
type Static struct{ set Set }

// NewStatic is the key set in text, which comes from the file named name.
func NewStatic(name string, text []byte) (*Static, error) {
	set, skipped, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (%d keys skipped)", name, err, len(skipped))
	}
	return &Static{set: set}, nil
}

// Key is the key named kid; see [Set.Find].
func (s *Static) Key(_ context.Context, kid, algorithm string) (Key, error) {
	return s.set.Find(kid, algorithm)
}

// Generation is always the same: the keys never change.
func (s *Static) Generation() uint64 { return 0 }

// Loaded is true.
func (s *Static) Loaded() bool { return true }
