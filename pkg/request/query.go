package request

import "strings"

// checkQuery refuses more of a query than a policy should have to look through.
func checkQuery(raw string, opt Options) error {
	if limit := or(opt.MaxQuery, DefaultMaxQuery); len(raw) > limit {
		return ambiguous("the query is longer than %d bytes (limits.query)", limit)
	}
	if limit := or(opt.MaxParameters, DefaultMaxParameters); strings.Count(raw, "&") >= limit {
		return ambiguous("the query has more than %d parameters (limits.query_parameters)", limit)
	}
	return nil
}

// query returns the query string by name. It refuses nothing, since only a policy decides
// on a query. Anything that cannot be decoded stays as it was sent.
func query(raw string) map[string][]string {
	if raw == "" {
		return nil
	}
	q := map[string][]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name = queryText(name)
		q[name] = append(q[name], queryText(value))
	}
	return q
}

func queryText(s string) string {
	if d, ok := unescape(strings.ReplaceAll(s, "+", " ")); ok {
		s = d
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
