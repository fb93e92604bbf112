package memo

import (
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/stepward/stepward/pkg/policy"
)

// text reads one text of an input, as policies see it: see [policy.Input.Document].
type text func(in *policy.Input) (s string, there bool)

// textAt returns how to read the text at path. prefix begins the names of our own identity
// headers.
func textAt(path []string, prefix string) (text, bool) {
	switch strings.Join(path, "\x00") {
	case "request\x00method":
		return always(func(in *policy.Input) string { return in.Request.Method }), true
	case "request\x00host":
		return always(func(in *policy.Input) string { return in.Request.Host }), true
	case "request\x00path":
		return always(func(in *policy.Input) string { return in.Request.Path }), true
	case "request\x00raw_path":
		return always(func(in *policy.Input) string { return in.Request.RawPath }), true
	case "request\x00kind":
		return always(func(in *policy.Input) string { return string(in.Request.Kind) }), true
	case "request\x00id":
		return unlessEmpty(func(in *policy.Input) string { return in.Request.ID }), true
	case "request\x00scheme":
		return unlessEmpty(func(in *policy.Input) string { return in.Request.Scheme }), true
	case "request\x00protocol":
		return unlessEmpty(func(in *policy.Input) string { return in.Request.Protocol }), true
	case "source\x00address":
		return unlessEmpty(func(in *policy.Input) string { return in.Request.Source.Address }), true
	case "source\x00client_address":
		return unlessEmpty(func(in *policy.Input) string { return in.Request.ClientAddress }), true
	case "source\x00principal":
		return unlessEmpty(func(in *policy.Input) string { return in.Request.Source.Principal }), true
	case "source\x00certificate":
		return unlessEmpty(func(in *policy.Input) string { return in.Request.Source.Certificate }), true
	case "tls\x00sni":
		return unlessEmpty(func(in *policy.Input) string { return in.Request.SNI }), true
	}
	if len(path) == 3 {
		return namedText(path, prefix)
	}
	return nil, false
}

// namedText reads the value under a name or at an index that the policy chooses.
func namedText(path []string, prefix string) (text, bool) {
	name := path[2]
	switch path[0] + "." + path[1] {
	case "request.segments":
		n, err := strconv.Atoi(name)
		if err != nil || n < 0 || strconv.Itoa(n) != name {
			return nil, false
		}
		return func(in *policy.Input) (string, bool) {
			if n >= len(in.Request.Segments) {
				return "", false
			}
			return in.Request.Segments[n], true
		}, true
	case "request.headers":
		if policy.IsHidden(name, prefix) {
			return func(*policy.Input) (string, bool) { return "", false }, true
		}
		return func(in *policy.Input) (string, bool) {
			lines, there := in.Request.Headers[name]
			return strings.Join(lines, ","), there
		}, true
	case "route.extensions":
		return func(in *policy.Input) (string, bool) {
			s, there := in.Request.Route.Extensions[name]
			return s, there
		}, true
	}
	return nil, false
}

func always(read func(*policy.Input) string) text {
	return func(in *policy.Input) (string, bool) { return read(in), true }
}

func unlessEmpty(read func(*policy.Input) string) text {
	return func(in *policy.Input) (string, bool) {
		s := read(in)
		return s, s != ""
	}
}

// member writes a member of the input into a key.
type member struct {
	write func(dst []byte, in *policy.Input) []byte
}

// memberAt returns how to write the member at path: a text, or one of the lists that a
// request has.
func memberAt(path []string, prefix string) (member, bool) {
	if t, ok := textAt(path, prefix); ok {
		return member{func(dst []byte, in *policy.Input) []byte {
			s, there := t(in)
			return appendText(appendBool(dst, there), s)
		}}, true
	}
	switch {
	case slices.Equal(path, []string{"request", "segments"}):
		return member{func(dst []byte, in *policy.Input) []byte { return appendList(dst, in.Request.Segments) }}, true
	case slices.Equal(path, []string{"request", "query"}):
		return member{func(dst []byte, in *policy.Input) []byte { return appendLists(dst, in.Request.Query) }}, true
	case slices.Equal(path, []string{"request", "size"}):
		return member{func(dst []byte, in *policy.Input) []byte {
			return binary.AppendVarint(dst, in.Request.Size)
		}}, true
	case slices.Equal(path, []string{"route", "extensions"}):
		return member{func(dst []byte, in *policy.Input) []byte {
			dst = binary.AppendUvarint(dst, uint64(len(in.Request.Route.Extensions)))
			for _, name := range slices.Sorted(maps.Keys(in.Request.Route.Extensions)) {
				dst = appendText(appendText(dst, name), in.Request.Route.Extensions[name])
			}
			return dst
		}}, true
	case len(path) >= 3 && path[0] == "request" && path[1] == "query":
		return member{func(dst []byte, in *policy.Input) []byte {
			list, there := in.Request.Query[path[2]]
			return appendList(appendBool(dst, there), list)
		}}, true
	case len(path) >= 3 && path[0] == "request" && path[1] == "header_values":
		if policy.IsHidden(path[2], prefix) {
			return member{func(dst []byte, _ *policy.Input) []byte { return dst }}, true
		}
		return member{func(dst []byte, in *policy.Input) []byte {
			list, there := in.Request.Headers[path[2]]
			return appendList(appendBool(dst, there), list)
		}}, true
	}
	return member{}, false
}

func appendList(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = appendText(dst, s)
	}
	return dst
}

func appendLists(dst []byte, lists map[string][]string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(lists)))
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		dst = appendList(appendText(dst, name), lists[name])
	}
	return dst
}
