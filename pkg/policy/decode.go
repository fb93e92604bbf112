package policy

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/stepup"
)

// Limits on what a policy may return. More is an error, not a truncation.
const (
	MaxMembers  = 64   // of require and of deny
	MaxString   = 1024 // bytes
	MaxMetadata = 4096 // bytes as JSON
)

// RequirementKeys and DenialKeys are the members that objects of require and
// deny may have.
var (
	RequirementKeys = []string{"level", "acr", "max_age", "amr", "scope", "audience", "issuer", "sender_constrained",
		"token_age", "reason", "detail", "shadow"}
	DenialKeys = []string{"code", "reason", "detail", "status", "always"}
)

// DecodeRequirement returns the requirement that rule returned as v, a JSON value with
// numbers as [json.Number]. Anything that departs from the contract is an error: a
// requirement that we only half understand is none. Errors hold names and positions, never
// computed values, which may be a query, a body or a claim.
func DecodeRequirement(v any, rule string, ladder stepup.Ladder) (stepup.Requirement, error) {
	o, err := object(v, RequirementKeys)
	if err != nil {
		return stepup.Requirement{}, fmt.Errorf("policy: require of %s: %w", rule, err)
	}
	r := stepup.Requirement{Rule: rule}
	d := decoder{o: o}
	r.Level = d.text("level", nil)
	r.ACR = d.list("acr", isACR)
	r.MaxAge = d.age("max_age")
	r.AMR = d.list("amr", isWord)
	r.Scope = d.list("scope", isScope)
	r.Audience = d.list("audience", isWord)
	r.Issuer = d.list("issuer", isWord)
	r.SenderConstrained = d.flag("sender_constrained")
	r.TokenAge = d.age("token_age")
	r.Reason = d.text("reason", nil)
	r.Detail = d.text("detail", nil)
	r.Shadow = d.flag("shadow")
	if d.err == nil {
		d.err = checkRequirement(r, o, ladder)
	}
	if d.err != nil {
		return stepup.Requirement{}, fmt.Errorf("policy: require of %s: %w", rule, d.err)
	}
	if r.Level == "" && len(r.ACR) == 0 {
		r.Level = stepup.Authenticated
	}
	return r, nil
}

func checkRequirement(r stepup.Requirement, o map[string]any, ladder stepup.Ladder) error {
	_, hasLevel := o["level"]
	_, hasACR := o["acr"]
	_, hasAMR := o["amr"]
	switch {
	case len(o) == 0:
		return fmt.Errorf("{} requires nothing by name; say {\"level\": \"authenticated\"}")
	case hasLevel && hasACR:
		return fmt.Errorf("level and acr exclude each other")
	case hasLevel && !ladder.Has(r.Level):
		return fmt.Errorf("level is none of the ladder (%s)", strings.Join(ladder.Names(), ", "))
	case hasAMR && !hasLevel && !hasACR:
		return fmt.Errorf("amr stands only beside level or acr")
	}
	if r.Level != stepup.Anonymous {
		return nil
	}
	for key := range o {
		if !slices.Contains([]string{"level", "reason", "detail", "shadow"}, key) {
			return fmt.Errorf("level anonymous stands alone, without %s", key)
		}
	}
	return nil
}

// DecodeDenial returns the denial that rule returned as v.
func DecodeDenial(v any, rule string) (stepup.Denial, error) {
	o, err := object(v, DenialKeys)
	if err != nil {
		return stepup.Denial{}, fmt.Errorf("policy: deny of %s: %w", rule, err)
	}
	d := decoder{o: o}
	out := stepup.Denial{
		Code: d.text("code", isWord), Reason: d.text("reason", nil), Detail: d.text("detail", nil),
		Always: d.flag("always"), Rule: rule,
	}
	if n, ok := o["status"]; ok && d.err == nil {
		status, err := integer(n)
		if err != nil || !slices.Contains([]int64{403, 404, 410, 429, 451}, status) {
			d.err = fmt.Errorf("status is not 403, 404, 410, 429 or 451")
		}
		out.Status = int(status)
	}
	if d.err != nil {
		return stepup.Denial{}, fmt.Errorf("policy: deny of %s: %w", rule, d.err)
	}
	return out, nil
}

// DecodeHeader returns the values of the header that a policy set to v: a string or
// an array of strings that a header can carry.
func DecodeHeader(name string, v any) ([]string, error) {
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	if len(list) > MaxMembers {
		return nil, fmt.Errorf("policy: header %s has more than %d values", name, MaxMembers)
	}
	values := make([]string, 0, len(list))
	for _, x := range list {
		s, ok := x.(string)
		if !ok || len(s) > MaxString || !IsHeaderValue(s) {
			return nil, fmt.Errorf("policy: header %s is not a string or array of strings that a header can carry",
				name)
		}
		if name == "set-cookie" && credential.IsOwnCookie(s) {
			return nil, fmt.Errorf("policy: header %s sets a cookie of Stepward's own", name)
		}
		values = append(values, s)
	}
	return values, nil
}

// CheckMetadata returns an error if m is larger than the limit for metadata.
func CheckMetadata(m map[string]any) error {
	b, err := json.Marshal(m)
	if err != nil || len(b) > MaxMetadata {
		return fmt.Errorf("policy: metadata is larger than %d bytes", MaxMetadata)
	}
	return nil
}

func object(v any, keys []string) (map[string]any, error) {
	o, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a member is not an object")
	}
	for key := range o {
		if !slices.Contains(keys, key) {
			return nil, fmt.Errorf("a key is none of %s", strings.Join(keys, ", "))
		}
	}
	return o, nil
}

// decoder reads members of o and keeps the first error.
type decoder struct {
	o   map[string]any
	err error
}

func (d *decoder) fail(key, what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%s %s", key, what)
	}
}

// text reads a string of visible characters and spaces.
func (d *decoder) text(key string, valid func(string) bool) string {
	v, ok := d.o[key]
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok || s == "" || len(s) > MaxString || valid != nil && !valid(s) {
		d.fail(key, "is not a string of 1 to 1024 bytes that it can be")
		return ""
	}
	return s
}

func (d *decoder) list(key string, valid func(string) bool) []string {
	v, ok := d.o[key]
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 || len(list) > MaxMembers {
		d.fail(key, "is not an array of 1 to 64 strings")
		return nil
	}
	out := make([]string, 0, len(list))
	for _, x := range list {
		s, ok := x.(string)
		if !ok || s == "" || len(s) > MaxString || !valid(s) {
			d.fail(key, "is not an array of strings that it can hold")
			return nil
		}
		out = append(out, s)
	}
	return out
}

func (d *decoder) flag(key string) bool {
	v, ok := d.o[key]
	if !ok {
		return false
	}
	b, ok := v.(bool)
	if !ok {
		d.fail(key, "is not true or false")
	}
	return b
}

func (d *decoder) age(key string) stepup.Age {
	v, ok := d.o[key]
	if !ok {
		return stepup.Age{}
	}
	length, err := decodeDuration(v)
	if err != nil {
		d.fail(key, err.Error())
		return stepup.Age{}
	}
	return stepup.AgeOf(length)
}

// decodeDuration reads whole seconds, as a number or as digits, or a length such as "5m" or
// "1h30m". Route metadata carries numbers as float64.
func decodeDuration(v any) (time.Duration, error) {
	bad := fmt.Errorf("is neither whole seconds nor a length such as \"5m\"")
	s, isText := v.(string)
	if !isText {
		n, err := integer(v)
		if err != nil || n < 0 || n > int64(math.MaxInt64/time.Second) {
			return 0, bad
		}
		return time.Duration(n) * time.Second, nil
	}
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d%time.Second != 0 || strings.HasPrefix(s, "+") {
		return 0, bad
	}
	return d, nil
}

func integer(v any) (int64, error) {
	switch n := v.(type) {
	case json.Number:
		return strconv.ParseInt(n.String(), 10, 64)
	case float64:
		if n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			return int64(n), nil
		}
	}
	return 0, fmt.Errorf("is not a whole number")
}

// isACR reports whether the space-separated list of acr_values can carry s in a quoted
// string (RFC 9470 §3).
func isACR(s string) bool {
	return isWord(s) && !strings.ContainsAny(s, `"\`)
}

// isScope reports whether s is a scope-token of RFC 6749 §3.3.
func isScope(s string) bool { return isACR(s) }

// isWord reports whether s is visible ASCII without a space.
func isWord(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// IsHeaderValue reports whether s is field-content of RFC 9110 §5.5 without tabs.
func IsHeaderValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s == strings.TrimSpace(s)
}
