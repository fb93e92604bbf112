package opaenvoy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
)

// headersOf reads headers: an object, or an array of objects whose values add up.
func headersOf(decision map[string]any, what string, check func(name string) error) (map[string][]string, error) {
	v, there := decision[what]
	if !there {
		return nil, nil
	}
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	out, size := map[string][]string{}, 0
	for _, x := range list {
		object, ok := x.(map[string]any)
		if !ok || len(object)+len(out) > maxMembers {
			return nil, fmt.Errorf("%s is not an object of at most %d headers, or an array of such", what,
				maxMembers)
		}
		for _, key := range slices.Sorted(maps.Keys(object)) {
			name := strings.ToLower(key)
			if err := check(name); err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			values, err := valuesOf("a header of "+what, object[key], isHeaderValue)
			if err != nil {
				return nil, err
			}
			for _, s := range values {
				s = strings.Trim(s, " ")
				if name == "set-cookie" && credential.IsOwnCookie(s) {
					return nil, fmt.Errorf("%s sets a cookie of Stepward's own", what)
				}
				out[name] = append(out[name], s)
				size += len(name) + len(s)
			}
		}
		if size > maxHeaders {
			return nil, fmt.Errorf("%s is larger than %d bytes", what, maxHeaders)
		}
	}
	return out, nil
}

// valuesOf reads a text, or an array of them.
func valuesOf(what string, v any, valid func(string) bool) ([]string, error) {
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	if len(list) > maxMembers {
		return nil, fmt.Errorf("%s has more than %d values", what, maxMembers)
	}
	out := make([]string, 0, len(list))
	for _, x := range list {
		s, ok := x.(string)
		if !ok || len(s) > maxValue || !valid(s) {
			return nil, fmt.Errorf("%s is not a text that can be sent, or an array of such", what)
		}
		out = append(out, s)
	}
	return out, nil
}

func namesOf(decision map[string]any, what string, valid func(string) bool) ([]string, error) {
	v, there := decision[what]
	if !there {
		return nil, nil
	}
	if _, ok := v.([]any); !ok {
		return nil, fmt.Errorf("%s is not an array of names", what)
	}
	return valuesOf(what, v, valid)
}

func queryOf(decision map[string]any) (map[string][]string, error) {
	v, there := decision["query_parameters_to_set"]
	if !there {
		return nil, nil
	}
	object, ok := v.(map[string]any)
	if !ok || len(object) > maxMembers {
		return nil, fmt.Errorf("query_parameters_to_set is not an object of at most %d names", maxMembers)
	}
	out := make(map[string][]string, len(object))
	for name, value := range object {
		if !isParameter(name) {
			return nil, errors.New("query_parameters_to_set: a name is not of letters, digits and marks")
		}
		values, err := valuesOf("query_parameters_to_set", value, func(string) bool { return true })
		if err != nil {
			return nil, err
		}
		out[name] = values
	}
	return out, nil
}

func metadataOf(decision map[string]any) (map[string]any, error) {
	v, there := decision["dynamic_metadata"]
	if !there {
		return nil, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("dynamic_metadata is not an object")
	}
	if b, err := json.Marshal(m); err != nil || len(b) > maxMetadata {
		return nil, fmt.Errorf("dynamic_metadata is larger than %d bytes", maxMetadata)
	}
	return m, nil
}

// checkRequestHeader permits headers that our own policies may not set, such as
// authorization and cookies: such policies exist to hand them to the application.
func (d decoder) checkRequestHeader(name string) error {
	if strings.HasPrefix(request.Spelling(name), d.headerPrefix) {
		return errors.New("a header is one of Stepward's own")
	}
	if err := checkEnvoyHeader(name); err != nil {
		return err
	}
	return checkHeader(name)
}

// checkEnvoyHeader refuses names by which a request steers Envoy.
func checkEnvoyHeader(name string) error {
	if strings.HasPrefix(request.Spelling(name), "x-envoy-") {
		return errors.New("a header is Envoy's own")
	}
	return nil
}

// checkHeader refuses names that move or frame a message.
func checkHeader(name string) error {
	if !request.IsToken(name) {
		return errors.New("a header's name is none")
	}
	if policy.IsFraming(name) {
		return errors.New("a header is one that no policy may change, since it moves or frames a message")
	}
	return nil
}

// isHeaderValue reports whether s is a header value. Spaces around it mean nothing.
func isHeaderValue(s string) bool { return policy.IsHeaderValue(strings.Trim(s, " ")) }

// isParameter reports whether s means the same encoded and decoded: it has only the
// unreserved characters of RFC 3986 §2.3.
func isParameter(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && !strings.ContainsRune("-._~", rune(s[i])) {
			return false
		}
	}
	return s != ""
}
