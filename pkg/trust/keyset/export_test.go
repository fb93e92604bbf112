package keyset

// Waiting is how many wait for a fetch.
func (r *Remote) Waiting() int64 { return r.waiting.Load() }
