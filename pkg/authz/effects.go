package authz

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
)

// allow lets r through, with every effect of the decision on the request to the upstream
// and on the response that comes back. No other function adds effects.
func (w Answers) allow(r *Record, settable []string) response.Response {
	if w.Names.Prefix() == "" {
		return response.Response{} // a client could forge what has no name
	}
	e := edit{fields: make([]request.Field, 0, 10), removed: make([]string, 0, 32)}
	w.identify(&e, r)
	for _, name := range slices.Sorted(maps.Keys(r.Policy.Headers)) {
		e.put(name, strings.Join(r.Policy.Headers[name], ", "))
	}
	for _, name := range r.Policy.Remove {
		e.remove(name)
	}
	w.removeForged(&e, r, settable)
	if !r.Policy.PassCredential || r.Shortfall.Needed {
		w.removeCredentials(&e, r)
	}
	return response.Response{
		Kind: response.Allow, Set: e.fields, Remove: e.removed, Add: responseHeaders(r.Policy.Response),
		AddBeside: r.Policy.AddBeside,
		SetQuery:  responseHeaders(r.Policy.SetQuery), RemoveQuery: r.Policy.RemoveQuery,
	}
}

// identify sets the headers that tell the upstream who the caller is.
func (w Answers) identify(e *edit, r *Record) {
	put := func(name, value string) {
		if value != "" {
			e.put(w.Names.Header(name), value)
		}
	}
	put(response.IdentityLevel, r.Held)
	put(response.IdentityDecisionID, r.ID)
	t := r.Token
	if t == nil {
		return
	}
	put(response.IdentitySubject, visible(t.Subject))
	put(response.IdentityIssuer, visible(t.Issuer))
	proof := t.Strongest() // the one that shows the level: acr, amr and time are of one proof
	put(response.IdentityACR, visible(proof.ACR))
	put(response.IdentityClientID, visible(t.ClientID))
	methods := make([]string, len(proof.AMR))
	for i, m := range proof.AMR {
		methods[i] = visible(m)
	}
	put(response.IdentityAMR, strings.Join(methods, " "))
	if !proof.At.IsZero() {
		put(response.IdentityAuthTime, strconv.FormatInt(proof.At.Unix(), 10))
	}
}

// removeForged removes every header that an upstream could take for one of ours, or for one
// that the policy can set. Otherwise a client could forge the headers that we happen not to
// set.
func (w Answers) removeForged(e *edit, r *Record, settable []string) {
	for _, name := range w.Names.Spellings() {
		e.remove(name)
	}
	for _, name := range settable {
		e.remove(name)
	}
	var forged []string
	for name := range r.Request.Headers {
		if w.couldBeOurs(name, settable) {
			forged = append(forged, name)
		}
	}
	slices.Sort(forged)
	for _, name := range forged {
		e.remove(name)
	}
}

// couldBeOurs reports whether an upstream could take name for a header that we or the policy
// set.
func (w Answers) couldBeOurs(name string, settable []string) bool {
	spelling := request.Spelling(name)
	return strings.HasPrefix(spelling, w.Names.Prefix()) || slices.ContainsFunc(settable, func(s string) bool {
		return len(s) == len(spelling) && request.Spelling(s) == spelling
	})
}

// removeCredentials removes credentials that were presented but not verified, so that an
// upstream that trusts us does not trust them. A header of another scheme passes. A header
// that the proxy did not show us was not verified either.
func (w Answers) removeCredentials(e *edit, r *Record) {
	verified := r.Token != nil && !w.RemoveAuthorization
	if !verified && (r.Scheme != "" || !r.Request.Headers.Has("authorization")) {
		e.remove("authorization")
	}
	if !verified || r.Scheme != credential.DPoP {
		e.remove("dpop")
	}
}

// edit collects what happens to request headers. A name is set or removed, never
// both: Envoy removes after it sets.
type edit struct {
	fields  []request.Field
	removed []string
}

func (e *edit) sets(name string) bool {
	return slices.ContainsFunc(e.fields, func(f request.Field) bool { return f.Name == name })
}

func (e *edit) put(name, value string) {
	if !e.sets(name) {
		e.fields = append(e.fields, request.Field{Name: name, Value: value})
	}
}

func (e *edit) remove(name string) {
	if !e.sets(name) && !slices.Contains(e.removed, name) {
		e.removed = append(e.removed, name)
	}
}

func responseHeaders(headers map[string][]string) []request.Field {
	var fields []request.Field
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		for _, v := range headers[name] {
			fields = append(fields, request.Field{Name: name, Value: v})
		}
	}
	return fields
}

// visible percent-encodes "%" and every byte outside visible ASCII, so that a
// claim cannot carry more than one word into a header.
func visible(s string) string {
	clean := true
	for i := range len(s) {
		clean = clean && s[i] > ' ' && s[i] <= '~' && s[i] != '%'
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
