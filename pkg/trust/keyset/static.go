package keyset

import (
	"context"
	"fmt"
)

// Static is a key set that never changes, for example one read from a file.
type Static struct {
	set     Set
	skipped []Skipped
}

// NewStatic makes the key set in text, which comes from the file named name.
func NewStatic(name string, text []byte) (*Static, error) {
	set, skipped, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w ", name, err)
	}
	return &Static{set: set, skipped: skipped}, nil
}

// Key returns the key named kid; see [Set.Find].
func (s *Static) Key(_ context.Context, kid, algorithm string) (Key, error) {
	return s.set.Find(kid, algorithm)
}

// Generation always returns the same: the keys never change.
func (s *Static) Generation() uint64 { return 1 }

// Doubt does nothing: the keys never change.
func (s *Static) Doubt(string) {}

// Status describes the state of the keys.
func (s *Static) Status() Status {
	return Status{Count: s.set.Len(), Keys: s.set.Names(), Skipped: s.skipped, Usable: true}
}

// Loaded returns true.
func (s *Static) Loaded() bool { return true }
