// Package rehearsal lets people try a policy without a service: it finds the configuration,
// loads the policy, and makes the stage for scenarios. The commands test, eval, explain,
// matrix, replay and playground rehearse.
//
// A rehearsal decides as a service does, with three differences. It treats tokens as
// verified. Its policies may take longer, because somebody is waiting and the machine may
// be busy. And it fetches nothing, so it refuses a policy that is only in bundles.
//
// A [RefusedError] reports a mistake of the user.
package rehearsal

// RefusedError says that what the user named cannot be rehearsed.
type RefusedError struct{ Err error }

// Error returns the reason.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *RefusedError) Unwrap() error { return e.Err }

// refused blames an error on what the user named.
func refused(err error) error {
	if err == nil {
		return nil
	}
	return &RefusedError{Err: err}
}
