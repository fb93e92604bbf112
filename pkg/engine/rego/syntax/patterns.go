package syntax

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	escape    = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	parameter = regexp.MustCompile(`^(\{.*\}|:.+|<.*>|\[.*\])$`)
	hostName  = regexp.MustCompile(
		`^([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$`)
	methodOf = regexp.MustCompile("^[A-Z0-9!#$%&'*+.^_`|~-]+$")
)

// FirstEscape returns the first percent-escape in s, or an empty string.
func FirstEscape(s string) string { return escape.FindString(s) }

// IsMethod reports whether s has the form of a method, in upper case.
func IsMethod(s string) bool { return methodOf.MatchString(s) }

// CheckPattern returns an error if p is a path pattern that would never match, or would
// match less than it seems to. Patterns are compared segment by segment with a path that is
// decoded.
func CheckPattern(p string, fold bool) error {
	switch {
	case !strings.HasPrefix(p, "/"):
		return Wrong(fmt.Sprintf("is %q, and a path begins with /", p), "write /"+strings.TrimSpace(p))
	case strings.ContainsAny(p, "?#;\\") || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return Wrong(fmt.Sprintf("is %q, which no path matches: it holds ?, #, ;, \\ or a control character", p),
			"a path has no query, parameters or fragment; match those in a rule")
	case escape.MatchString(p):
		return Wrong(fmt.Sprintf("is %q, and a pattern is compared with the decoded path", p),
			"write the character itself in place of "+escape.FindString(p))
	case fold && p != strings.ToLower(p):
		return Wrong(fmt.Sprintf("is %q, and request.path_case is fold: paths are in lower case", p),
			"write "+strings.ToLower(p))
	}
	segments := strings.Split(p[1:], "/")
	for i, s := range segments {
		if err := checkSegment(p, s, i == len(segments)-1); err != nil {
			return err
		}
	}
	return nil
}

// checkSegment checks one segment of p.
func checkSegment(p, s string, last bool) error {
	switch {
	case s == "" && last || s == "*" || s == "**" && last:
	case s == "":
		return Wrong(fmt.Sprintf("is %q, with an empty segment", p),
			"a path with // is refused before it reaches a policy")
	case s == "**":
		return Wrong(fmt.Sprintf("is %q, and ** stands for segments at the end only", p),
			"use * for one segment, or an entry for each depth")
	case s == "." || s == "..":
		return Wrong(fmt.Sprintf("is %q, with a dot segment", p),
			"a path with one is refused before it reaches a policy")
	case strings.Contains(s, "*"):
		return Wrong(fmt.Sprintf("is %q, and * stands for a whole segment", p),
			"write /pay/** for all below /pay, or * for any one segment")
	case parameter.MatchString(s):
		return Wrong(fmt.Sprintf("is %q, and %s is taken literally", p, s), "write * for any one segment")
	case s != strings.TrimSpace(s):
		return Wrong(fmt.Sprintf("is %q, with white space around a segment", p), "leave it out")
	}
	return nil
}

// CheckMethod returns an error if m is not a method as it appears in requests.
func CheckMethod(m string) error {
	switch {
	case methodOf.MatchString(m) && m != "*":
		return nil
	case slices.Contains(Methods, strings.ToUpper(strings.TrimSpace(m))):
		return Wrong(fmt.Sprintf("is %q, and methods are upper case", m),
			fmt.Sprintf("write %q", strings.ToUpper(strings.TrimSpace(m))))
	}
	return Wrong(fmt.Sprintf("is %q, which is no method", m), "leave methods out for every method")
}

// CheckHost returns an error if no request has h as its host in normal form.
func CheckHost(h string) error {
	switch {
	case hostName.MatchString(h):
		return nil
	case hostName.MatchString(strings.TrimSuffix(strings.ToLower(h), ".")):
		return Wrong(fmt.Sprintf("is %q, and hosts are compared in lower case, without a final dot", h),
			fmt.Sprintf("write %q", strings.TrimSuffix(strings.ToLower(h), ".")))
	}
	return Wrong(fmt.Sprintf("is %q, which is no host", h),
		"a host is a name or address with an optional port; there are no patterns")
}

// Wrong returns an error with a hint, which follows a zero byte.
func Wrong(message, hint string) error { return errors.New(message + "\x00" + hint) }
