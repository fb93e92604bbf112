package keyset

import "time"

// Status describes the state of an issuer's keys.
type Status struct {
	Usable  bool      // whether tokens can be verified with them
	Count   int       // of keys
	Keys    []string  // their names; keys without one are left out
	Skipped []Skipped // members of the set that are not used
	At      time.Time // when they were fetched; zero when they never were, or came from a file
	// Cached is set if the keys come from an earlier run, because this one could not fetch
	// them.
	Cached   bool
	Err      error // why the last fetch failed; nil if it succeeded
	Metadata Metadata
}

// Status describes the state of the keys.
func (r *Remote) Status() Status {
	r.mu.Lock()
	s := r.status
	r.mu.Unlock()
	if l := r.current.Load(); l != nil {
		s.Count, s.Keys, s.Skipped, s.At, s.Cached, s.Usable = l.set.Len(), l.set.Names(), l.skipped, l.at,
			l.text == nil, r.usable() == l
	} else if s.Err == nil {
		s.Err = errNoKeys
	}
	return s
}

// note keeps what Status says about the last fetch.
func (r *Remote) note(f Fetch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Err, r.status.Metadata = f.Err, r.known.Metadata
}
