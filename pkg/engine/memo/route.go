package memo

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/policy"
)

// mostMatches limits how many entries of a table may match a request that is remembered.
const mostMatches = 64

// Routes says which entries of a route table apply to a request, as the library's
// routes.matches(entry, input.request) would for each entry.
type Routes struct {
	entries []route
	first   map[string][]int // indices of entries by their literal first segment
	any     []int            // and of entries without one
}

// route is one entry, read strictly.
type route struct {
	segments       []string
	rest           bool // "**" at the end
	methods, safe  []string
	hosts          []string
	limited, bound bool // whether methods and hosts are given
}

// NewRoutes returns the feature for a table, or false if an entry is not plain: then the
// library's rules decide on each request.
func NewRoutes(table []any) (Routes, bool) {
	r := Routes{first: map[string][]int{}}
	for i, x := range table {
		e, ok := newRoute(x)
		if !ok {
			return Routes{}, false
		}
		r.entries = append(r.entries, e)
		if len(e.segments) > 0 && e.segments[0] != "*" {
			r.first[e.segments[0]] = append(r.first[e.segments[0]], i)
		} else {
			r.any = append(r.any, i)
		}
	}
	return r, true
}

func newRoute(x any) (e route, ok bool) {
	entry, isObject := x.(map[string]any)
	path, isText := entry["path"].(string)
	if !isObject || !isText {
		return route{}, false
	}
	e.segments = slices.DeleteFunc(strings.Split(path, "/"), func(s string) bool { return s == "" })
	if n := len(e.segments); n > 0 && e.segments[n-1] == "**" {
		e.segments, e.rest = e.segments[:n-1], true
	}
	if slices.Contains(e.segments, "**") {
		return route{}, false
	}
	var fine [3]bool
	e.methods, e.limited, fine[0] = texts(entry, "methods")
	e.safe, _, fine[1] = texts(entry, "safe_methods")
	e.hosts, e.bound, fine[2] = texts(entry, "hosts")
	return e, fine == [3]bool{true, true, true}
}

// texts reads a list of texts that may be missing.
func texts(entry map[string]any, name string) (list []string, there, ok bool) {
	v, there := entry[name]
	if !there {
		return nil, false, true
	}
	items, isList := v.([]any)
	for _, x := range items {
		s, isText := x.(string)
		if !isText {
			return nil, true, false
		}
		list = append(list, s)
	}
	return list, true, isList
}

func (r Routes) append(dst []byte, in *policy.Input) ([]byte, bool) {
	var found [mostMatches]int
	n := 0
	look := func(places []int) bool {
		for _, i := range places {
			if r.entries[i].matches(in) {
				if n == mostMatches {
					return false
				}
				found[n] = i
				n++
			}
		}
		return true
	}
	segments := in.Request.Segments
	if !look(r.any) || len(segments) > 0 && !look(r.first[segments[0]]) {
		return dst, false
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	for _, i := range found[:n] {
		dst = binary.AppendUvarint(dst, uint64(i))
	}
	return dst, true
}

// matches compares in the same way as the library.
func (e route) matches(in *policy.Input) bool {
	r := &in.Request
	switch n := len(e.segments); {
	case len(r.Segments) < n, len(r.Segments) > n && !e.rest:
		return false
	case slices.Contains(e.safe, r.Method):
		return false
	case e.bound && !slices.Contains(e.hosts, r.Host):
		return false
	case e.limited && !slices.Contains(e.methods, r.Method) && !e.covers(r.Method):
		return false
	}
	for i, want := range e.segments {
		if want != "*" && want != r.Segments[i] {
			return false
		}
	}
	return true
}

var (
	onlyRead = []string{"GET", "HEAD", "OPTIONS"}
	everyday = []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}
)

// covers reports whether an entry for methods that may change something also applies to an
// uncommon method.
func (e route) covers(method string) bool {
	return !slices.Contains(everyday, method) &&
		slices.ContainsFunc(e.methods, func(m string) bool { return !slices.Contains(onlyRead, m) })
}
