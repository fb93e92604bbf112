package analysis

import (
	"fmt"
	"net/netip"
	regex "regexp/syntax"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/finding"
)

// A comparison with a value that a member of the input never has does not fail. The rule is
// silent, and below a `not` it always holds. The schema of the input (enum and pattern),
// the ladder and the configuration say which values members can have.

// part says which part of a text is compared.
type part string

const (
	entire part = "is"
	start  part = "begins with"
	end    part = "ends with"
	inside part = "contains"
)

// never says why a member never equals what it is compared with. The zero never gives no
// reason.
type never struct {
	why, hint, fix string
	hardly         bool // it is possible, but probably a slip
}

// why returns the reason why p never matches: a text that holds s at that part.
func (l *linter) why(p syntax.Field, s string, at part) never {
	if p.Lower || p.Upper {
		return neverCased(p, s)
	}
	switch p.Key() {
	case "request.method":
		return neverMethod(s, at)
	case "request.path":
		return l.neverPath(s, at)
	case "request.segments.*":
		return l.neverSegment(s, at)
	case "request.path./.0":
		if s != "" {
			return never{why: "a path begins with /, and its first part is empty",
				hint: fmt.Sprintf("write input.request.segments[0] == %q", strings.Trim(s, "/"))}
		}
		return never{}
	case "request.path./.*":
		if s == "" {
			return never{} // after a final slash
		}
		return l.neverSegment(s, at)
	case "request.raw_path":
		return neverRaw(s, at)
	case "request.host":
		return neverHost(s, at)
	case "source.address", "source.client_address":
		return neverAddress(s, at)
	case "token.levels.*":
		return neverOne(s, at, l.opt.Ladder.Names()[1:])
	case "token.issuer_name":
		return neverOne(s, at, l.opt.IssuerNames)
	case "token.issuer":
		return neverOne(s, at, l.opt.Issuers)
	}
	return neverOne(s, at, l.wordsOf(p.Names))
}

// neverCased returns the reason why lower or upper never yields s.
func neverCased(p syntax.Field, s string) never {
	switch {
	case p.Lower && s != strings.ToLower(s):
		return never{why: "lower() yields no capitals", hint: fmt.Sprintf("write %q", strings.ToLower(s)),
			fix: strings.ToLower(s)}
	case p.Upper && s != strings.ToUpper(s):
		return never{why: "upper() yields capitals only", hint: fmt.Sprintf("write %q", strings.ToUpper(s)),
			fix: strings.ToUpper(s)}
	}
	return never{}
}

// ofType returns the reason why the type of p keeps it from equalling v: a list is not a
// text, and a text is not a number.
func (l *linter) ofType(p syntax.Field, v ast.Value) never {
	_, isText := v.(ast.String)
	switch v.(type) {
	case ast.String, ast.Number, ast.Boolean, ast.Null:
	default:
		return never{}
	}
	switch kind := l.typeOf(p.Names); {
	case kind == "array" && !p.Lower && !p.Upper:
		return never{why: "it is a list", hint: fmt.Sprintf("ask whether %s in %s", v, p)}
	case kind == "string" && !isText:
		return never{why: "it is a text", hint: fmt.Sprintf("write %q", strings.Trim(v.String(), `"`))}
	}
	return never{}
}

// typeOf returns the type that the schema gives a member, or an empty string.
func (l *linter) typeOf(names []string) string {
	node := l.schema
	for _, name := range names {
		properties, _ := node["properties"].(map[string]any)
		next, ok := properties[name].(map[string]any)
		if items, isList := node["items"].(map[string]any); isList {
			next, ok = items, true
		} else if more, open := node["additionalProperties"].(map[string]any); !ok && open {
			next, ok = more, true
		}
		if !ok {
			return ""
		}
		node = next
	}
	kind, _ := node["type"].(string)
	return kind
}

// wordsOf returns the values that the schema allows for a member, or nil.
func (l *linter) wordsOf(names []string) []string {
	node := l.schema
	for _, name := range names {
		properties, _ := node["properties"].(map[string]any)
		next, ok := properties[name].(map[string]any)
		if !ok {
			return nil
		}
		node = next
	}
	list, _ := node["enum"].([]any)
	var words []string
	for _, w := range list {
		if s, ok := w.(string); ok {
			words = append(words, s)
		}
	}
	return words
}

// neverOne judges a member that is one of known. If none are known, it gives no reason.
func neverOne(s string, at part, known []string) never {
	test := map[part]func(word, s string) bool{entire: func(w, s string) bool { return w == s },
		start: strings.HasPrefix, end: strings.HasSuffix, inside: strings.Contains}[at]
	if len(known) == 0 || slices.ContainsFunc(known, func(w string) bool { return test(w, s) }) {
		return never{}
	}
	n := never{why: "it is one of " + strings.Join(known, ", "), hint: "one of " + strings.Join(known, ", "),
		fix: finding.Closest(s, known)}
	if i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, s) }); i >= 0 {
		n.fix = known[i]
	}
	return n
}

func neverMethod(s string, at part) never {
	if s == "" && at != entire {
		return never{}
	}
	if !syntax.IsMethod(s) || s == "CONNECT" && at == entire || len(s) > 32 {
		n := never{why: "methods are tokens in upper case, and CONNECT is refused", hint: "one of " + strings.Join(
			syntax.Methods, ", ")}
		if n.fix = finding.Closest(s, syntax.Methods); slices.Contains(
			syntax.Methods,
			strings.ToUpper(strings.TrimSpace(s)),
		) {
			n.fix = strings.ToUpper(strings.TrimSpace(s))
		}
		return n
	}
	if known := slices.Contains(syntax.Methods, s) || slices.Contains(otherMethods, s); at == entire && !known {
		for _, m := range syntax.Methods {
			if levenshtein.ComputeDistance(s, m) == 1 {
				return never{
					why:    fmt.Sprintf("did you mean %q?", m),
					hint:   "one of " + strings.Join(syntax.Methods, ", "),
					fix:    m,
					hardly: true,
				}
			}
		}
	}
	return never{}
}

// otherMethods lists registered methods with names close to a common one or to each other.
var otherMethods = []string{"COPY", "LINK", "LOCK", "MOVE", "PRI", "PROPFIND", "PROPPATCH", "PURGE", "QUERY", "REPORT",
	"SEARCH", "UNLINK", "UNLOCK", "MKCOL", "BIND", "ACL"}

func (l *linter) allows(name string) bool { return slices.Contains(l.opt.Allow, name) }

func (l *linter) neverPath(s string, at part) never {
	switch {
	case s == "*" && at != inside && at != end, s == "" && at != entire:
		return never{}
	case (at == entire || at == start) && !strings.HasPrefix(s, "/"):
		return never{why: "a path begins with /", hint: fmt.Sprintf("write %q", "/"+s), fix: "/" + s}
	case strings.Contains(s, "//"):
		fixed := s
		for strings.Contains(fixed, "//") {
			fixed = strings.ReplaceAll(fixed, "//", "/")
		}
		return never{why: "a path with // is refused, or is without it", hint: fmt.Sprintf("write %q", fixed),
			fix: fixed}
	}
	segments := strings.Split(s, "/")
	for i, x := range segments {
		cut := i == 0 && at != entire && at != start || i == len(segments)-1 && at != entire && at != end
		if n := l.neverIn(x, !cut); n.why != "" {
			return n
		}
	}
	return never{}
}

func (l *linter) neverSegment(s string, at part) never {
	switch {
	case s == "" && at == entire:
		return never{why: "no segment is empty", hint: "count(input.request.segments) == 0 is the path /"}
	case strings.Contains(s, "/") && !l.allows("encoded_slash"):
		fixed := strings.Trim(s, "/")
		if strings.Contains(fixed, "/") {
			return never{why: "a segment holds no /", hint: "compare one segment each, or input.request.path"}
		}
		return never{why: "a segment holds no /", hint: fmt.Sprintf("write %q", fixed), fix: fixed}
	}
	for x := range strings.SplitSeq(s, "/") {
		if n := l.neverIn(x, at == entire); n.why != "" {
			return n
		}
	}
	return never{}
}

// neverIn judges a text within a segment, or a complete segment.
func (l *linter) neverIn(s string, complete bool) never {
	has := func(chars string) bool { return strings.ContainsAny(s, chars) }
	switch {
	case syntax.FirstEscape(s) != "" && !l.allows("double_encoding") &&
		(!l.allows("encoded_slash") || !strings.EqualFold(syntax.FirstEscape(s), "%2f")):
		return never{why: "paths are decoded, and one that is encoded twice is refused",
			hint: "write the character itself in field of " + syntax.FirstEscape(s)}
	case has(`\`) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return never{why: `a path with \ or a control character is refused`, hint: "leave it out"}
	case has(";"):
		return never{why: "a path with ; is refused, or is without what follows it",
			hint: "leave out what begins with ;"}
	case complete && (s == "." || s == ".."):
		return never{why: "a path with a dot segment is refused", hint: "leave it out"}
	case l.opt.FoldPathCase && s != strings.ToLower(s):
		return never{why: "request.path_case is fold, and paths are in lower case", hint: "write it in lower case: " +
			strings.ToLower(s)}
	}
	return never{}
}

func neverRaw(s string, at part) never {
	switch {
	case s == "*" && at != inside && at != end, s == "" && at != entire:
	case (at == entire || at == start) && !strings.HasPrefix(s, "/"):
		return never{why: "a path begins with /", hint: fmt.Sprintf("write %q", "/"+s), fix: "/" + s}
	case strings.ContainsAny(s, "?# "):
		return never{why: "it ends before ?, and holds no # and no space",
			hint: "ask input.request.query for what follows ?"}
	}
	return never{}
}

func neverHost(s string, at part) never {
	switch lower := strings.ToLower(s); {
	case s != lower:
		return never{why: "hosts are in lower case", hint: fmt.Sprintf("write %q", lower), fix: lower}
	case strings.ContainsAny(s, "/@ ,%*?#"):
		return never{why: "a host is a name or an address with an optional port",
			hint: "write the host alone, as \"app.example.com\""}
	case at == entire && strings.HasSuffix(s, "."):
		return never{why: "hosts are without a final dot", hint: fmt.Sprintf("write %q", strings.TrimSuffix(s, ".")),
			fix: strings.TrimSuffix(s, ".")}
	case at == entire && syntax.CheckHost(s) != nil:
		return never{why: "that is no host", hint: "write a name or an address with an optional port"}
	}
	return never{}
}

func neverAddress(s string, at part) never {
	if at != entire {
		return never{}
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return never{why: "it is one address", hint: fmt.Sprintf("write net.cidr_contains(%q, …)", s)}
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return never{why: "it is without a port", hint: fmt.Sprintf("write %q", a.Addr()), fix: a.Addr().String()}
	}
	return never{}
}

// pieces returns the literal texts that every match of expression contains, and where.
func pieces(expression string) map[string]part {
	tree, err := regex.Parse(expression, regex.Perl)
	if err != nil {
		return nil
	}
	parts := []*regex.Regexp{tree}
	if tree.Op == regex.OpConcat {
		parts = tree.Sub
	}
	found := map[string]part{}
	for i, p := range parts {
		if p.Op != regex.OpLiteral || p.Flags&regex.FoldCase != 0 {
			continue
		}
		begins, ends := i > 0 && parts[i-1].Op == regex.OpBeginText, i+1 < len(parts) &&
			parts[i+1].Op == regex.OpEndText
		switch text := string(p.Rune); {
		case begins && ends:
			found[text] = entire
		case begins:
			found[text] = start
		case ends:
			found[text] = end
		default:
			found[text] = inside
		}
	}
	return found
}
