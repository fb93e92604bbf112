package keyset

// Waiting counts those that wait for a fetch.
func (r *Remote) Waiting() int64 { return r.waiting.Load() }
