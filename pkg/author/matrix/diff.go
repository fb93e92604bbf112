package matrix

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/stepup"
)

// Change says how a row differs between two policies.
type Change struct {
	Row    Row      `json:"row"` // as it is now
	Was    Row      `json:"was"`
	Weaker []string `json:"weaker,omitempty"` // in words; empty if nothing is
	Other  []string `json:"other,omitempty"`
}

// Diff compares rows of the same route, method and caller. If it cannot tell whether a
// change makes a row weaker, it counts the row as weaker.
func Diff(was, is Matrix, ladder stepup.Ladder) []Change {
	before := map[string]Row{}
	for _, r := range was.Rows {
		before[r.key()] = r
	}
	var changes []Change
	for _, r := range is.Rows {
		old, there := before[r.key()]
		if !there {
			continue
		}
		c := Change{Row: r, Was: old}
		c.compare(ladder)
		if len(c.Weaker)+len(c.Other) > 0 {
			changes = append(changes, c)
		}
	}
	return changes
}

func (r Row) key() string { return r.Method + " " + r.Host + r.Path + " " + r.Caller }

func (c *Change) weaker(format string, args ...any) {
	c.Weaker = append(c.Weaker, fmt.Sprintf(format, args...))
}

func (c *Change) other(format string, args ...any) {
	c.Other = append(c.Other, fmt.Sprintf(format, args...))
}

func (c *Change) compare(ladder stepup.Ladder) {
	switch was, is := c.Was, c.Row; {
	case !was.Public() && is.Public():
		c.weaker("became public")
	case rank(ladder, is.Level) < rank(ladder, was.Level):
		c.weaker("needs %s, was %s", is.Level, was.Level)
	case rank(ladder, is.Level) > rank(ladder, was.Level):
		c.other("needs %s, was %s", is.Level, was.Level)
	}
	was, is := c.Was.needs(), c.Row.needs()
	switch {
	case was.MaxAge != nil && (is.MaxAge == nil || *is.MaxAge > *was.MaxAge):
		c.weaker("max_age %s, was %s", word(seconds(is.MaxAge)), seconds(was.MaxAge))
	case is.MaxAge != nil && (was.MaxAge == nil || *was.MaxAge > *is.MaxAge):
		c.other("max_age %s, was %s", seconds(is.MaxAge), word(seconds(was.MaxAge)))
	}
	c.sets("amr", was.AMR, is.AMR)
	c.sets("scope", was.Scope, is.Scope)
	c.sets("demand", was.More, is.More)
	c.sets("refusal", withoutPlace(was.Denied), withoutPlace(is.Denied))
	c.conditions(c.Was.If, c.Row.If)
}

// sets reports what was dropped, which weakens, and what is new.
func (c *Change) sets(what string, was, is []string) {
	for _, x := range without(was, is) {
		c.weaker("no %s %s any more", what, x)
	}
	for _, x := range without(is, was) {
		c.other("%s %s", what, x)
	}
}

// conditions reports the same for conditional demands. A condition that makes a route
// public counts the other way round, and one whose effect depends on the request may be
// either.
func (c *Change) conditions(was, is []If) {
	for _, i := range was {
		if text := i.String(); !holds(is, text) {
			tell(c, !i.Opens, "no condition %s any more", text)
		}
	}
	for _, i := range is {
		if text := i.String(); !holds(was, text) {
			tell(c, i.Opens || i.Computed, "condition %s", text)
		}
	}
}

func tell(c *Change, weaker bool, format, text string) {
	if weaker {
		c.weaker(format, text)
	} else {
		c.other(format, text)
	}
}

func holds(list []If, text string) bool {
	return slices.ContainsFunc(list, func(i If) bool { return i.String() == text })
}

// without returns the elements of a that are not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// String writes the condition and what it adds, without the rule, whose line moves.
func (i If) String() string {
	if len(i.When) == 0 {
		return fmt.Sprintf("%s %s, where the request has what that is made of", i.Entry, i.Adds)
	}
	return fmt.Sprintf("%s %s if %s", i.Entry, i.Adds, strings.Join(i.When, " and "))
}

func conditions(list []If) []string {
	out := make([]string, len(list))
	for n, i := range list {
		out[n] = i.String()
	}
	return out
}

// withoutPlace drops the line of a rule, which moves.
func withoutPlace(rules []string) []string {
	out := make([]string, len(rules))
	for n, r := range rules {
		out[n], _, _ = strings.Cut(r, ":")
	}
	return out
}

func word(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
