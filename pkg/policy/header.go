package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/request"
)

// CheckRequestHeader returns an error if a policy may not set name on the request to the
// upstream. prefix begins the names of our own identity headers.
func CheckRequestHeader(name, prefix string) error {
	if err := checkHeader(name, "authorization", "cookie", "dpop"); err != nil {
		return err
	}
	if strings.HasPrefix(request.Spelling(name), prefix) {
		return fmt.Errorf("header %q is one of Stepward's own", name)
	}
	return nil
}

// CheckResponseHeader returns an error if a policy may not set name on the response.
func CheckResponseHeader(name string) error {
	return checkHeader(name)
}

// framing lists headers that move or frame a message.
var framing = []string{"host", "connection", "te", "trailer", "transfer-encoding", "content-length", "upgrade",
	"keep-alive", "proxy-connection"}

// IsFraming reports whether name, in any spelling, is a header that moves or frames a
// message. No policy may change one.
func IsFraming(name string) bool { return slices.Contains(framing, request.Spelling(name)) }

// checkHeader refuses names that move or frame a message, names that proxies trust, and the
// names in also. It compares names as a careless reader sees them.
func checkHeader(name string, also ...string) error {
	if name != strings.ToLower(name) || !request.IsToken(name) {
		return fmt.Errorf("%q is not a header name in lower case", name)
	}
	spelling := request.Spelling(name)
	switch {
	case IsFraming(name), slices.Contains(also, spelling):
		return fmt.Errorf("header %q is not a policy's to set", name)
	case strings.HasPrefix(spelling, "x-envoy-"), strings.HasPrefix(spelling, "x-forwarded-"):
		return fmt.Errorf("header %q belongs to the proxy", name)
	}
	return nil
}
