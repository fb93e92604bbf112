package request

import (
	"errors"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stepward/stepward/pkg/internal/strictjson"
)

// BodyState says what a body was read as, or why it could not be read.
type BodyState string

// The states of a body. All but the first three say why an existing body could not be read.
const (
	BodyNone        BodyState = "none" // there is none
	BodyJSON        BodyState = "json"
	BodyForm        BodyState = "form"
	BodyContentType BodyState = "content_type"     // neither type, more than one, or another charset
	BodyEncoding    BodyState = "encoding"         // compressed, or encoded in another way
	BodyTruncated   BodyState = "truncated"        // only part of it was sent to us, or nothing
	BodyMalformed   BodyState = "malformed"        // not what its type says
	BodyDuplicate   BodyState = "duplicate_member" // JSON with a member that occurs twice
	BodyTooLarge    BodyState = "too_large"        // larger than the limits allow
)

// BodyStates lists every state.
func BodyStates() []BodyState {
	return []BodyState{BodyNone, BodyJSON, BodyForm, BodyContentType, BodyEncoding, BodyTruncated, BodyMalformed,
		BodyDuplicate, BodyTooLarge}
}

// The limits on a body that is read.
const (
	MaxBody       = 1 << 20  // bytes
	maxBodyValues = 16 << 10 // values of JSON, as strictjson counts them
	maxFormFields = 1000
)

// Unreadable reports whether there is a body that could not be read.
func (s BodyState) Unreadable() bool {
	switch s {
	case "", BodyNone, BodyJSON, BodyForm:
		return false
	}
	return true
}

// body returns what policies see of a body. A body is read whole or not at all, and only if
// every reader would read it the same way: half a document says nothing about the other
// half, and the upstream may pick either of two content types.
func body(raw Raw, h Headers) Body {
	b := Body{Present: raw.Body.Present, Truncated: raw.Body.Truncated}
	switch {
	case !hasBody(raw, h):
		b.State = BodyNone
	case b.Truncated || !b.Present || short(raw, h):
		b.State = BodyTruncated
	case encoded(h):
		b.State = BodyEncoding
	case len(raw.Body.Bytes) > MaxBody:
		b.State = BodyTooLarge
	default:
		b.read(raw.Body.Bytes, mediaType(h))
	}
	return b
}

func (b *Body) read(text []byte, media string) {
	var err error
	switch {
	case media == "application/x-www-form-urlencoded":
		b.State = BodyForm
		b.Form, err = form(string(text))
	case strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json"):
		b.State = BodyJSON
		b.JSON, err = strictjson.DecodeSome(text, maxBodyValues)
	default:
		b.State = BodyContentType
	}
	switch {
	case err == nil:
		return
	case errors.Is(err, strictjson.ErrDuplicate):
		b.State = BodyDuplicate
	case errors.Is(err, strictjson.ErrTooLarge):
		b.State = BodyTooLarge
	default:
		b.State = BodyMalformed
	}
	b.JSON, b.Form = nil, nil
}

// hasBody reports whether the request has a body, even if the proxy did not send it to us.
// Over HTTP/2 and later nothing announces a body, but clients state the length of one that
// has a meaning (RFC 9110 §8.6). We assume that a POST without a length has a body.
func hasBody(raw Raw, h Headers) bool {
	if raw.Body.Present {
		return raw.Body.Truncated || len(raw.Body.Bytes) > 0 || declared(h)
	}
	if declared(h) || raw.Size > 0 {
		return true
	}
	switch raw.Method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "DELETE":
		return false
	}
	return !h.Has("content-length") && (strings.HasPrefix(raw.Protocol, "HTTP/2") || strings.HasPrefix(raw.Protocol,
		"HTTP/3"))
}

// declared reports whether the headers say that there is a body.
func declared(h Headers) bool {
	for _, v := range h.Values("content-length") {
		if strings.Trim(v, "0 \t") != "" {
			return true
		}
	}
	return h.Has("transfer-encoding") && !h.Has("content-length")
}

// short reports whether we received less than the headers announce.
func short(raw Raw, h Headers) bool {
	for _, v := range h.Values("content-length") {
		if n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 63); err != nil || n > uint64(len(raw.Body.Bytes)) {
			return true
		}
	}
	return false
}

// encoded reports whether the body's bytes still need decoding. It looks for other
// spellings of the header's name, too, since upstreams of the CGI kind read those.
func encoded(h Headers) bool {
	for name, lines := range h {
		switch Spelling(name) {
		case "content-encoding":
			for _, v := range lines {
				if name != "content-encoding" || v != "" && !strings.EqualFold(strings.TrimSpace(v), "identity") {
					return true
				}
			}
		case "transfer-encoding":
			for _, v := range lines {
				if name != "transfer-encoding" || !strings.EqualFold(strings.TrimSpace(v), "chunked") {
					return true
				}
			}
		}
	}
	return false
}

// mediaType returns the one type of the body, in lower case. It returns empty if the header
// is missing, malformed, sent twice, spelt another way, or names a charset other than
// UTF-8.
func mediaType(h Headers) string {
	for name := range h {
		if name != "content-type" && Spelling(name) == "content-type" {
			return ""
		}
	}
	lines := h.Values("content-type")
	if len(lines) != 1 || strings.Contains(lines[0], ",") {
		return ""
	}
	media, params, err := mime.ParseMediaType(lines[0])
	charset, given := params["charset"]
	if err != nil || given && !strings.EqualFold(charset, "utf-8") {
		return ""
	}
	return media
}

var (
	errForm   = errors.New("request: the form is malformed")
	errFields = errors.Join(errors.New("request: the form has too many fields"), strictjson.ErrTooLarge)
)

// form reads a form as the URL Standard does. It refuses forms that other readers read
// differently: with bad escapes, bytes that are not UTF-8, or ";", which some readers take
// as a separator.
func form(text string) (map[string][]string, error) {
	fields := map[string][]string{}
	if strings.Count(text, "&") >= maxFormFields {
		return nil, errFields
	}
	if strings.Contains(text, ";") {
		return nil, errForm
	}
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, okName := unescape(strings.ReplaceAll(name, "+", " "))
		value, okValue := unescape(strings.ReplaceAll(value, "+", " "))
		if !okName || !okValue || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, errForm
		}
		fields[name] = append(fields[name], value)
	}
	return fields, nil
}
