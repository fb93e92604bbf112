package opaenvoy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
)

// Limits on a decision object. They are wider than the limits on our own results, since
// existing policies must still run. Exceeding one is an error.
const (
	maxValue    = 16 << 10 // bytes of a header value or query parameter
	maxHeaders  = 64 << 10 // bytes of all headers of one member
	maxBody     = 1 << 20  // bytes
	maxMetadata = 8 << 10  // bytes as JSON
	maxMembers  = 256      // elements of a list or object
)

// decoder reads decisions in the form that opa-envoy-plugin expects of a policy: true or
// false, or an object with "allowed". An object may also have "require", which is our own
// extension: a list of requirements, as require rules yield them, that the caller must meet
// before it is let in.
type decoder struct {
	rule         string // what decided, for the log: the path of the decision
	ladder       stepup.Ladder
	headerPrefix string // of our identity headers, which no policy sets
}

// decode makes a result of v, a JSON value with numbers as [json.Number]. Only true, or an
// object whose "allowed" is true, lets anyone in. A value that the plugin does not expect
// is an error, even if the plugin would only fail later.
//
// Like the plugin, decode ignores members that have no meaning for the decision: members
// for an allow in a denial, members for a denial in an allow, and unknown names. The one
// exception is a name in an allow that is nearly "require": ignoring it would require
// nothing.
func (d decoder) decode(v any) (policy.Result, error) {
	if allowed, ok := v.(bool); ok {
		return d.result(allowed, &stepup.Wording{}), nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		return policy.Result{}, fmt.Errorf(
			"opaenvoy: the decision of %s is neither true or false nor an object",
			d.rule,
		)
	}
	r, err := d.object(object)
	if err != nil {
		return policy.Result{}, fmt.Errorf("opaenvoy: the decision of %s: %w", d.rule, err)
	}
	return r, nil
}

// result makes an allow that requires nothing, or a denial that no credential can change.
func (d decoder) result(allowed bool, w *stepup.Wording) policy.Result {
	r := policy.Result{PassCredential: true, AddBeside: true, MetadataAtTop: true,
		Require: []stepup.Requirement{{Level: stepup.Anonymous, Rule: d.rule}}}
	if !allowed {
		r.Deny = []stepup.Denial{{Always: true, Rule: d.rule, Wording: w}}
	}
	return r
}

func (d decoder) object(v map[string]any) (policy.Result, error) {
	allowed, ok := v["allowed"].(bool)
	if !ok {
		return policy.Result{}, fmt.Errorf("allowed is missing, or is not true or false")
	}
	metadata, err := metadataOf(v)
	if err != nil {
		return policy.Result{}, err
	}
	var r policy.Result
	if allowed {
		r, err = d.allow(v)
	} else {
		r, err = d.deny(v)
	}
	r.Metadata = metadata
	return r, err
}

func (d decoder) allow(v map[string]any) (policy.Result, error) {
	r := d.result(true, nil)
	var err error
	keep := func(e error) {
		if err == nil {
			err = e
		}
	}
	var e error
	r.Headers, e = headersOf(v, "headers", d.checkRequestHeader)
	keep(e)
	r.Response, e = headersOf(v, "response_headers_to_add", checkHeader)
	keep(e)
	r.Remove, e = namesOf(v, "request_headers_to_remove", request.IsToken)
	keep(e)
	for i, name := range r.Remove {
		r.Remove[i] = strings.ToLower(name)
		keep(checkHeader(r.Remove[i]))
		keep(checkEnvoyHeader(r.Remove[i]))
		delete(r.Headers, r.Remove[i]) // Envoy removes after it sets
	}
	r.RemoveQuery, e = namesOf(v, "query_parameters_to_remove", isParameter)
	keep(e)
	r.SetQuery, e = queryOf(v)
	keep(e)
	require, e := d.require(v)
	keep(e)
	r.Require = append(r.Require, require...)
	return r, err
}

// require reads our own member.
func (d decoder) require(v map[string]any) ([]stepup.Requirement, error) {
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
	if !ok || len(list) > policy.MaxMembers {
		return nil, fmt.Errorf("require is not a set or array of at most %d requirements", policy.MaxMembers)
	}
	out := make([]stepup.Requirement, 0, len(list))
	for _, x := range list {
		r, err := policy.DecodeRequirement(x, d.rule, d.ladder)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (d decoder) deny(v map[string]any) (policy.Result, error) {
	w := &stepup.Wording{}
	var err error
	if w.Headers, err = headersOf(v, "headers", checkHeader); err != nil {
		return policy.Result{}, err
	}
	body, there := v["body"]
	if w.Body, w.HasBody = body.(string); w.HasBody != there || len(w.Body) > maxBody {
		return policy.Result{}, fmt.Errorf("body is not a text of at most %d bytes", maxBody)
	}
	r := d.result(false, w)
	if status, there := v["http_status"]; there {
		number, _ := status.(json.Number)
		n, err := strconv.Atoi(number.String())
		if err != nil || n < 300 || n > 599 || http.StatusText(n) == "" {
			return policy.Result{}, fmt.Errorf("http_status is not a status of a refusal, 300 to 599")
		}
		r.Deny[0].Status = n
	}
	return r, nil
}

// isNearlyRequire reports whether name is probably a misspelt require.
func isNearlyRequire(name string) bool {
	name = strings.ToLower(name)
	return name == "requirement" || name == "requirements" || name == "stepward_require" || levenshtein.ComputeDistance(
		name, "require") <= 1
}
