package rego

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/stepup"
)

// The value of a rule is decoded when the rule is evaluated, and a breach of the contract
// is answered with 503. The same decoder also reads the literal parts of the value when the
// policy is loaded, with valid values in place of anything that only a request settles. So
// the two never differ.

// decoding says how to read the members of an entry rule.
type decoding struct {
	rule   string
	keys   []string
	decode func(v any) error
	right  map[string]any    // an always valid value for each key
	hints  map[string]string // by key
}

// element is a string that is valid in every list.
const element = "x"

func (l *loader) decodingOf(rule string) decoding {
	texts := []any{element}
	if rule == syntax.Deny {
		return decoding{rule: rule, keys: policy.DenialKeys,
			decode: func(v any) error { _, err := policy.DecodeDenial(v, ""); return err },
			right: map[string]any{"code": element, "reason": element, "detail": element, "status": json.Number("403"),
				"always": false},
			hints: map[string]string{"status": "write 403, 404, 410, 429 or 451", "always": "write true or false",
				"code":   "write a word of visible ASCII, without a space",
				"reason": "write a text of 1 to 1024 bytes", "detail": "write a text of 1 to 1024 bytes"}}
	}
	list := func(example string) string { return "write a list of 1 to 64 texts, as [" + example + "]" }
	return decoding{rule: rule, keys: policy.RequirementKeys,
		decode: func(v any) error { _, err := policy.DecodeRequirement(v, "", l.opt.Ladder); return err },
		right: map[string]any{"level": stepup.Authenticated, "acr": texts, "amr": texts, "scope": texts,
			"audience": texts, "issuer": texts, "max_age": json.Number("0"), "token_age": json.Number("0"),
			"sender_constrained": false, "shadow": false, "reason": element, "detail": element},
		hints: map[string]string{"level": "levels: " + strings.Join(l.opt.Ladder.Names(), ", "), "acr": list(`"phr"`),
			"amr": list(`"hwk"`), "scope": list(`"reports:read"`), "audience": list(`"https://api.example.com"`),
			"issuer": list(`"https://idp.example.com"`), "max_age": `write whole seconds, or a length such as "5m"`,
			"token_age":          `write whole seconds, or a length such as "5m"`,
			"sender_constrained": "write true or false", "shadow": "write true or false",
			"reason": "write a text of 1 to 1024 bytes", "detail": "write a text of 1 to 1024 bytes"}}
}

// checkMember checks the value of a require or deny rule, as far as it is known.
func (l *loader) checkMember(d decoding, t *ast.Term) {
	switch v := t.Value.(type) {
	case ast.Var:
		return // only a request settles it
	case ast.Object:
		l.checkObject(d, v, t)
	default:
		l.add(syntax.At(t.Location, "member", fmt.Sprintf("a member of %s must be an object", d.rule),
			"write {\""+d.keys[0]+"\": …}"))
	}
}

func (l *loader) checkObject(d decoding, o ast.Object, t *ast.Term) {
	if o.Len() == 0 && d.rule == syntax.Require {
		l.add(syntax.At(t.Location, "member", "{} requires nothing by name", "say {\"level\": \"authenticated\"}"))
		return
	}
	before, whole, complete := len(l.found), map[string]any{}, true
	o.Foreach(func(k, v *ast.Term) {
		switch key, ok := k.Value.(ast.String); {
		case k.Equal(syntax.Unknown):
			complete = false
		case !ok:
			l.add(syntax.At(k.Location, "unknown_key", fmt.Sprintf("a key of %s is no text", d.rule),
				"known keys: "+strings.Join(d.keys, ", ")))
		case !slices.Contains(d.keys, string(key)):
			l.add(syntax.At(k.Location, "unknown_key", fmt.Sprintf("unknown key %q in %s%s", string(key), d.rule,
				finding.DidYouMean(string(key), d.keys)), "known keys: "+strings.Join(d.keys, ", ")))
		default:
			whole[string(key)] = d.checkValue(l, string(key), k, v)
		}
	})
	if !complete || len(l.found) > before {
		return
	}
	if err := d.decode(whole); err != nil {
		l.add(syntax.At(t.Location, "member", plain(err),
			"as it stands, each request that the rule is for is refused with 503"))
	}
}

// checkValue checks one value by itself, and returns it as the decoder reads it.
func (d decoding) checkValue(l *loader, key string, k, t *ast.Term) any {
	v := standIn(t, d.right[key])
	alone := func(v any) error {
		o := map[string]any{key: v}
		if key == "amr" {
			o["level"] = stepup.Authenticated
		}
		return d.decode(o)
	}
	err := alone(v)
	if err == nil {
		return v
	}
	loc := t.Location
	if loc == nil || loc.Row == 0 {
		loc = k.Location
	}
	if level, ok := v.(string); ok && key == "level" && d.rule == syntax.Require && level != "" {
		l.add(syntax.At(loc, "unknown_level", fmt.Sprintf("level %q is not on the ladder%s", level,
			finding.DidYouMean(level, l.opt.Ladder.Names())), d.hints[key]))
		return v
	}
	if list, ok := t.Value.(*ast.Array); ok && list.Len() <= policy.MaxMembers {
		list.Foreach(func(x *ast.Term) {
			if alone([]any{standIn(x, element)}) != nil && x.Location != nil && loc == t.Location {
				loc = x.Location
			}
		})
	}
	l.add(syntax.At(loc, "member", plain(err), d.hints[key]))
	return v
}

// plain returns what the decoder says, without naming the rule.
func plain(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return strings.TrimPrefix(err.Error(), "policy: ")
}

// standIn returns t as a result, with right in place of unknown parts.
func standIn(t *ast.Term, right any) any {
	var list []any
	add := func(x *ast.Term) { list = append(list, standIn(x, element)) }
	switch v := t.Value.(type) {
	case ast.Var:
		return right
	case *ast.Array:
		v.Foreach(add)
		return append([]any{}, list...)
	case ast.Set:
		v.Foreach(add)
		return append([]any{}, list...)
	case ast.Object:
		o := map[string]any{}
		v.Foreach(func(k, x *ast.Term) { o[k.String()] = standIn(x, element) })
		return o
	}
	v, err := ast.JSON(t.Value)
	if err != nil {
		return right // it is not a constant
	}
	return v
}

// checkHeader checks what a rule of headers or response_headers sets, as far as it is known.
func (l *loader) checkHeader(name string, t *ast.Term) {
	if _, err := policy.DecodeHeader(name, standIn(t, element)); err != nil {
		l.add(syntax.At(t.Location, "header_value", plain(err),
			"write a text, or a list of texts; a number is written by sprintf(\"%d\", [n])"))
	}
}

// checkMetadata checks a value of metadata.
func (l *loader) checkMetadata(name string, t *ast.Term) {
	if err := policy.CheckMetadata(map[string]any{name: standIn(t, element)}); err != nil {
		l.add(syntax.At(t.Location, "metadata", plain(err), "write less"))
	}
}

// repeatedKeys finds keys that an object contains twice: the last would silently win.
func (l *loader) repeatedKeys(t *ast.Term) {
	if _, ok := t.Value.(ast.Object); !ok || t.Location == nil {
		return
	}
	seen := map[string]bool{}
	for _, key := range keysWritten(string(t.Location.Text)) {
		if seen[key] {
			l.add(syntax.At(t.Location, "repeated_key", fmt.Sprintf("key %s is there twice", key),
				"keep one of them: only the last counts"))
			return
		}
		seen[key] = true
	}
}

// keysWritten returns the strings before a colon at the top level of an object, as written.
func keysWritten(src string) []string {
	var keys []string
	depth, last := 0, ""
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case c == '#':
			if end := strings.IndexByte(src[i:], '\n'); end > 0 {
				i += end - 1
			} else {
				return keys
			}
		case c == '"' || c == '`':
			last, i = textAt(src, i)
			if depth != 1 {
				last = ""
			}
		case c == ':' && depth == 1:
			if last != "" {
				keys = append(keys, last)
			}
			last = ""
		case strings.IndexByte("{[(", c) >= 0:
			depth, last = depth+1, ""
		case strings.IndexByte("}])", c) >= 0:
			depth, last = depth-1, ""
		case strings.IndexByte(" \t\n\r", c) < 0:
			last = ""
		}
	}
	return keys
}

// textAt returns the string whose quote is at from, in normal spelling, and where it ends.
// It is empty if there is no string.
func textAt(src string, from int) (text string, end int) {
	quote := src[from]
	end = from + 1
	for ; end < len(src) && src[end] != quote; end++ {
		if quote == '"' && src[end] == '\\' {
			end++
		}
	}
	written, err := strconv.Unquote(src[from:min(end+1, len(src))])
	if err != nil {
		return "", end
	}
	return strconv.Quote(written), end
}
