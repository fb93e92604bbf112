package policy

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// CheckQuery returns an error that wraps [ErrRequest] if r edits a parameter that raw, the
// query as sent, contains under another spelling. Envoy matches the bytes of a name, so the
// application would find the other spelling next to the one that we set.
func (r Result) CheckQuery(raw string) error {
	if len(r.SetQuery)+len(r.RemoveQuery) == 0 {
		return nil
	}
	for pair := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(pair, "=")
		decoded, err := url.QueryUnescape(name)
		if _, set := r.SetQuery[decoded]; err != nil || decoded != name &&
			(set || slices.Contains(r.RemoveQuery, decoded)) {
			return fmt.Errorf("%w: a query parameter that the policy edits is spelt with escapes", ErrRequest)
		}
	}
	return nil
}
