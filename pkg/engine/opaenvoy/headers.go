package opaenvoy

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/request"
)

// staticHeaders returns the names of request headers that rules write literally, as keys of
// an object named "headers". It lists only names that begin with x- and that no proxy or
// tracer uses. The same object names headers of refusals, and an application that lost its
// own content-type would break.
func staticHeaders(modules map[string]*ast.Module, prefix string) []string {
	names := map[string]bool{}
	add := func(t *ast.Term) {
		s, ok := t.Value.(ast.String)
		if name := strings.ToLower(string(s)); ok && ownHeader(name, prefix) {
			names[name] = true
		}
	}
	for _, m := range modules {
		ast.WalkRules(m, func(r *ast.Rule) bool {
			ref := r.Head.Ref()
			for i, t := range ref {
				if !isHeaders(t) {
					continue
				}
				if i+1 < len(ref) {
					add(ref[i+1])
				} else if r.Head.Key != nil {
					add(r.Head.Key)
				} else if r.Head.Value != nil {
					keysOf(r.Head.Value, add)
				}
			}
			return false
		})
		ast.WalkTerms(m, func(t *ast.Term) bool {
			if o, ok := t.Value.(ast.Object); ok {
				o.Foreach(func(k, v *ast.Term) {
					if isHeaders(k) {
						keysOf(v, add)
					}
				})
			}
			return false
		})
	}
	return slices.Sorted(maps.Keys(names))
}

func isHeaders(t *ast.Term) bool {
	switch v := t.Value.(type) {
	case ast.Var:
		return v == "headers"
	case ast.String:
		return v == "headers"
	}
	return false
}

// keysOf reports the keys of an object, or of the objects in an array.
func keysOf(t *ast.Term, add func(*ast.Term)) {
	switch v := t.Value.(type) {
	case ast.Object:
		v.Foreach(func(k, _ *ast.Term) { add(k) })
	case *ast.Array:
		v.Foreach(func(x *ast.Term) { keysOf(x, add) })
	}
}

// ownHeader reports whether an application expects a header of this name only from the
// policy.
func ownHeader(name, prefix string) bool {
	if !strings.HasPrefix(name, "x-") || !request.IsToken(name) || strings.HasPrefix(request.Spelling(name), prefix) {
		return false
	}
	for _, other := range []string{"x-request-id", "x-correlation-id", "x-forwarded-", "x-envoy-", "x-b3-", "x-ot-",
		"x-amzn-", "x-cloud-trace-", "x-client-trace-", "x-real-ip"} {
		if strings.HasPrefix(name, other) {
			return false
		}
	}
	return true
}
