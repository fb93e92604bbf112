package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
)

// Limits on a decision object of opa-envoy-plugin. They are wider than those of our own
// results, since policies that exist must still run; more is an error.
const (
	MaxForeignValue    = 16 << 10 // bytes of a header value or query parameter
	MaxForeignHeaders  = 64 << 10 // bytes of all headers of one member
	MaxForeignBody     = 1 << 20  // bytes
	MaxForeignMetadata = 8 << 10  // bytes as JSON
	maxForeignMembers  = 256      // of a list or object
)

// OPAEnvoy reads decisions in the form that opa-envoy-plugin expects of a policy: true or
// false, or an object with "allowed". An object may also have "require", which is ours: a
// list of requirements, as rules of require yield them, that the caller must meet before
// it is let in.
type OPAEnvoy struct {
	Rule         string // what decided, for the log: the path of the decision
	Ladder       stepup.Ladder
	HeaderPrefix string // of our identity headers, which no policy sets
}

// Decode makes a result of v, which holds what JSON holds, with numbers as [json.Number].
// Nothing but true, and an object whose "allowed" is true, lets anyone in. What is not as
// the plugin expects it is an error, also where the plugin would fail later.
//
// As there, members that have no meaning for the decision are not looked at: those of an
// allow on a denial and the other way round, and names that are not known. One exception
// is a name of an allow that is nearly "require", as it would require nothing.
func (o OPAEnvoy) Decode(v any) (Result, error) {
	if allowed, ok := v.(bool); ok {
		return o.result(allowed, &stepup.Wording{}), nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		return Result{}, fmt.Errorf("policy: the decision of %s is neither true or false nor an object", o.Rule)
	}
	r, err := o.object(object)
	if err != nil {
		return Result{}, fmt.Errorf("policy: the decision of %s: %w", o.Rule, err)
	}
	return r, nil
}

// result is an allow that requires nothing, or a denial that no credential changes.
func (o OPAEnvoy) result(allowed bool, w *stepup.Wording) Result {
	r := Result{PassCredential: true, AddBeside: true, MetadataAtTop: true,
		Require: []stepup.Requirement{{Level: stepup.Anonymous, Rule: o.Rule}}}
	if !allowed {
		r.Deny = []stepup.Denial{{Always: true, Rule: o.Rule, Wording: w}}
	}
	return r
}

func (o OPAEnvoy) object(v map[string]any) (Result, error) {
	allowed, ok := v["allowed"].(bool)
	if !ok {
		return Result{}, fmt.Errorf("allowed is missing, or is not true or false")
	}
	metadata, err := foreignMetadata(v)
	if err != nil {
		return Result{}, err
	}
	var r Result
	if allowed {
		r, err = o.allow(v)
	} else {
		r, err = o.deny(v)
	}
	r.Metadata = metadata
	return r, err
}

func (o OPAEnvoy) allow(v map[string]any) (Result, error) {
	r := o.result(true, nil)
	var err error
	keep := func(e error) {
		if err == nil {
			err = e
		}
	}
	var e error
	r.Headers, e = foreignHeaders(v, "headers", o.checkRequestHeader)
	keep(e)
	r.Response, e = foreignHeaders(v, "response_headers_to_add", checkForeignHeader)
	keep(e)
	r.Remove, e = foreignNames(v, "request_headers_to_remove", request.IsToken)
	keep(e)
	for i, name := range r.Remove {
		r.Remove[i] = strings.ToLower(name)
		keep(checkForeignHeader(r.Remove[i]))
		keep(checkEnvoyHeader(r.Remove[i]))
		delete(r.Headers, r.Remove[i]) // Envoy removes after it sets
	}
	r.RemoveQuery, e = foreignNames(v, "query_parameters_to_remove", isParameter)
	keep(e)
	r.SetQuery, e = foreignQuery(v)
	keep(e)
	require, e := o.require(v)
	keep(e)
	r.Require = append(r.Require, require...)
	return r, err
}

// require reads our own member.
func (o OPAEnvoy) require(v map[string]any) ([]stepup.Requirement, error) {
	for name := range v {
		if name != "require" && isNearlyRequire(name) {
			return nil, errors.New("a member is named nearly like require; is that meant?")
		}
	}
	value, there := v["require"]
	if !there {
		return nil, nil
	}
	list, ok := value.([]any)
	if !ok || len(list) > MaxMembers {
		return nil, fmt.Errorf("require is not a set or array of at most %d requirements", MaxMembers)
	}
	out := make([]stepup.Requirement, 0, len(list))
	for _, x := range list {
		r, err := DecodeRequirement(x, o.Rule, o.Ladder)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (o OPAEnvoy) deny(v map[string]any) (Result, error) {
	w := &stepup.Wording{}
	var err error
	if w.Headers, err = foreignHeaders(v, "headers", checkForeignHeader); err != nil {
		return Result{}, err
	}
	body, there := v["body"]
	if w.Body, w.HasBody = body.(string); w.HasBody != there || len(w.Body) > MaxForeignBody {
		return Result{}, fmt.Errorf("body is not a text of at most %d bytes", MaxForeignBody)
	}
	r := o.result(false, w)
	if status, there := v["http_status"]; there {
		n, err := integer(status)
		if _, number := status.(json.Number); err != nil || !number || n < 300 || n > 599 || http.StatusText(
			int(n)) == "" {
			return Result{}, fmt.Errorf("http_status is not a status of a refusal, 300 to 599")
		}
		r.Deny[0].Status = int(n)
	}
	return r, nil
}

// isNearlyRequire holds for slips of require.
func isNearlyRequire(name string) bool {
	name = strings.ToLower(name)
	return name == "requirement" || name == "requirements" || name == "stepward_require" || levenshtein.ComputeDistance(
		name, "require") <= 1
}

// foreignHeaders reads headers: an object, or an array of objects whose values add up.
func foreignHeaders(decision map[string]any, what string, check func(name string) error) (map[string][]string, error) {
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
		if !ok || len(object)+len(out) > maxForeignMembers {
			return nil, fmt.Errorf("%s is not an object of at most %d headers, or an array of such", what,
				maxForeignMembers)
		}
		for _, key := range slices.Sorted(maps.Keys(object)) {
			name := strings.ToLower(key)
			if err := check(name); err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			values, err := foreignValues("a header of "+what, object[key], isForeignHeaderValue)
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
		if size > MaxForeignHeaders {
			return nil, fmt.Errorf("%s is larger than %d bytes", what, MaxForeignHeaders)
		}
	}
	return out, nil
}

// foreignValues reads a text, or an array of them.
func foreignValues(what string, v any, valid func(string) bool) ([]string, error) {
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	if len(list) > maxForeignMembers {
		return nil, fmt.Errorf("%s has more than %d values", what, maxForeignMembers)
	}
	out := make([]string, 0, len(list))
	for _, x := range list {
		s, ok := x.(string)
		if !ok || len(s) > MaxForeignValue || !valid(s) {
			return nil, fmt.Errorf("%s is not a text that can be sent, or an array of such", what)
		}
		out = append(out, s)
	}
	return out, nil
}

func foreignNames(decision map[string]any, what string, valid func(string) bool) ([]string, error) {
	v, there := decision[what]
	if !there {
		return nil, nil
	}
	if _, ok := v.([]any); !ok {
		return nil, fmt.Errorf("%s is not an array of names", what)
	}
	return foreignValues(what, v, valid)
}

func foreignQuery(decision map[string]any) (map[string][]string, error) {
	v, there := decision["query_parameters_to_set"]
	if !there {
		return nil, nil
	}
	object, ok := v.(map[string]any)
	if !ok || len(object) > maxForeignMembers {
		return nil, fmt.Errorf("query_parameters_to_set is not an object of at most %d names", maxForeignMembers)
	}
	out := make(map[string][]string, len(object))
	for name, value := range object {
		if !isParameter(name) {
			return nil, errors.New("query_parameters_to_set: a name is not of letters, digits and marks")
		}
		values, err := foreignValues("query_parameters_to_set", value, func(string) bool { return true })
		if err != nil {
			return nil, err
		}
		out[name] = values
	}
	return out, nil
}

func foreignMetadata(decision map[string]any) (map[string]any, error) {
	v, there := decision["dynamic_metadata"]
	if !there {
		return nil, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("dynamic_metadata is not an object")
	}
	if b, err := json.Marshal(m); err != nil || len(b) > MaxForeignMetadata {
		return nil, fmt.Errorf("dynamic_metadata is larger than %d bytes", MaxForeignMetadata)
	}
	return m, nil
}

// checkRequestHeader permits what our own policies may not set, authorization and cookies
// among it: that the application gets them is what such policies are there for.
func (o OPAEnvoy) checkRequestHeader(name string) error {
	if strings.HasPrefix(request.Spelling(name), o.HeaderPrefix) {
		return errors.New("a header is one of Stepward's own")
	}
	if err := checkEnvoyHeader(name); err != nil {
		return err
	}
	return checkForeignHeader(name)
}

// checkEnvoyHeader refuses names by which a request steers Envoy.
func checkEnvoyHeader(name string) error {
	if strings.HasPrefix(request.Spelling(name), "x-envoy-") {
		return errors.New("a header is Envoy's own")
	}
	return nil
}

// checkForeignHeader refuses names that move or frame a message.
func checkForeignHeader(name string) error {
	if !request.IsToken(name) {
		return errors.New("a header's name is none")
	}
	if slices.Contains(framing, request.Spelling(name)) {
		return errors.New("a header is one that no policy may change, since it moves or frames a message")
	}
	return nil
}

// isForeignHeaderValue is [isHeaderValue] with spaces around, which mean nothing.
func isForeignHeaderValue(s string) bool { return isHeaderValue(strings.Trim(s, " ")) }

// isParameter holds for names that mean the same encoded and decoded: the unreserved
// characters of RFC 3986 §2.3.
func isParameter(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && !strings.ContainsRune("-._~", rune(s[i])) {
			return false
		}
	}
	return s != ""
}

// CheckQuery is an error that wraps [ErrRequest] when r edits a parameter which raw, the
// query as it was sent, has under another spelling. Envoy looks for the bytes of a name,
// so that an application would find such a parameter beside the one that is set.
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
