package opaenvoy

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strconv"
	"strings"

	"github.com/stepward/stepward/pkg/internal/strictjson"
)

// partialBody is the header by which Envoy says whether it sent all of the body.
const partialBody = "x-envoy-auth-partial-body"

// parse decodes a JSON, form or multipart body, by the content-type that the client gives.
// It returns nil if there is no body or if it has another type, and does not decode a body
// that Envoy sent only in part.
func (b Body) parse(http map[string]any, path []any) (parsed any, truncated bool, err error) {
	headers := at(http, "headers")
	if text(headers, partialBody) == "true" {
		return nil, true, nil
	}
	media := text(headers, "content-type")
	decode := decoderOf(media)
	switch {
	case decode == nil && strings.Contains(media, "application/grpc"):
		raw, err := rawBody(http)
		if err != nil {
			return nil, false, err
		}
		return b.frame(raw, path)
	case decode == nil:
		return nil, false, nil
	}
	body := text(http, "body")
	if body == "" {
		raw, err := rawBody(http)
		if err != nil {
			return nil, false, err
		}
		body = string(raw)
	}
	if body == "" {
		return nil, false, nil
	}
	if length, there := headers["content-length"].(string); there {
		n, err := strconv.ParseInt(length, 10, 64)
		if err != nil {
			return nil, false, errors.New("content-length is not a number")
		}
		if n > int64(len(body)) {
			return nil, true, nil
		}
	}
	parsed, err = decode(body)
	return parsed, false, err
}

// rawBody returns the bytes of the body, which the report holds in base64.
func rawBody(http map[string]any) ([]byte, error) {
	return base64.StdEncoding.DecodeString(text(http, "rawBody"))
}

// decoderOf returns the decoder for bodies of the type media, or nil. It looks for the
// types in this order, anywhere in media. [Body.frame] reads gRPC messages.
func decoderOf(media string) func(body string) (any, error) {
	switch {
	case strings.Contains(media, "application/json"):
		return func(body string) (any, error) { return strictjson.Decode([]byte(body)) }
	case strings.Contains(media, "application/grpc"):
		return nil
	case strings.Contains(media, "application/x-www-form-urlencoded"):
		return func(body string) (any, error) {
			values, err := url.ParseQuery(body)
			if err != nil {
				return nil, errors.New("the form has a malformed percent-escape, or a semicolon")
			}
			return lists(values), nil
		}
	case strings.Contains(media, "multipart/form-data"):
		return func(body string) (any, error) { return parts(body, media) }
	}
	return nil
}

var errParts = errors.New("its parts cannot be told apart")

// frame decodes the first message of a gRPC request. One byte before it says whether it is
// compressed, and the next four give its length. A compressed message is not read.
func (b Body) frame(body []byte, path []any) (parsed any, truncated bool, err error) {
	if b.Message == nil || len(body) == 0 {
		return nil, false, nil
	}
	if len(path) != 2 || len(body) < 5 {
		return nil, false, errors.New("no call of gRPC")
	}
	if body[0] != 0 {
		return nil, false, nil
	}
	size := binary.BigEndian.Uint32(body[1:5])
	if uint64(size) > uint64(len(body)-5) {
		return nil, true, nil
	}
	service, _ := path[0].(string)
	method, _ := path[1].(string)
	parsed, known, err := b.Message(service, method, body[5:5+size])
	if err != nil || !known {
		parsed = nil
	}
	return parsed, false, err
}

// parts returns the values of a multipart/form-data body by the names of their fields.
func parts(body, media string) (any, error) {
	_, params, err := mime.ParseMediaType(media)
	if err != nil {
		return nil, errors.New("content-type is malformed")
	}
	if params["boundary"] == "" {
		return nil, nil
	}
	out := map[string]any{}
	for r := multipart.NewReader(strings.NewReader(body), params["boundary"]); ; {
		p, err := r.NextPart()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, errParts
		}
		name := p.FormName()
		if name == "" {
			continue
		}
		text, err := io.ReadAll(p)
		if err != nil {
			return nil, errParts
		}
		var value any = strings.ToValidUTF8(string(text), "\uFFFD")
		if strings.Contains(p.Header.Get("Content-Type"), "application/json") {
			if value, err = strictjson.Decode(text); err != nil {
				return nil, err
			}
		}
		was, _ := out[name].([]any)
		out[name] = append(was, value)
	}
}
