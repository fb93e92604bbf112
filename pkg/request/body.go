package request

import (
	"strings"

	"github.com/stepward/stepward/pkg/strictjson"
)

// body is what policies see of a body. What was not sent whole is not decoded:
// half a document says nothing about the other half.
func body(raw RawBody, contentType string) Body {
	b := Body{Present: raw.Present, Truncated: raw.Truncated}
	if !raw.Present || raw.Truncated {
		return b
	}
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	switch media = strings.TrimSpace(media); {
	case media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"):
		b.JSON, _ = strictjson.Decode(raw.Bytes) // nil, which is undefined to a policy, when malformed
	case media == "application/x-www-form-urlencoded":
		b.Form = query(string(raw.Bytes))
	}
	return b
}
