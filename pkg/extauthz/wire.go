package extauthz

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The messages of an answer, as protobuf has them on the wire. An answer is made on every
// request and read by nobody here, so it is written as bytes at once and not as a tree of
// messages first. The numbers are those of the fields in envoy/service/auth/v3,
// envoy/config/core/v3, envoy/type/v3, google/rpc and google/protobuf; a test reads every
// answer back by the generated types.
const (
	responseStatus   protowire.Number = 1 // CheckResponse
	responseDenied   protowire.Number = 2
	responseOK       protowire.Number = 3
	responseMetadata protowire.Number = 4

	statusCode protowire.Number = 1 // google.rpc.Status

	deniedStatus  protowire.Number = 1 // DeniedHttpResponse
	deniedHeaders protowire.Number = 2
	deniedBody    protowire.Number = 3

	httpStatusCode protowire.Number = 1 // HttpStatus

	okHeaders     protowire.Number = 2 // OkHttpResponse
	okRemove      protowire.Number = 5
	okAdd         protowire.Number = 6
	okSetQuery    protowire.Number = 7
	okRemoveQuery protowire.Number = 8

	optionHeader protowire.Number = 1 // HeaderValueOption
	optionAppend protowire.Number = 2
	optionAction protowire.Number = 3

	pairKey   protowire.Number = 1 // HeaderValue, QueryParameter, and an entry of a map
	pairValue protowire.Number = 2

	structFields protowire.Number = 1 // google.protobuf.Struct

	valueNull   protowire.Number = 1 // google.protobuf.Value
	valueNumber protowire.Number = 2
	valueText   protowire.Number = 3
	valueBool   protowire.Number = 4
	valueStruct protowire.Number = 5
	valueList   protowire.Number = 6

	listValues protowire.Number = 1 // google.protobuf.ListValue
)

// begin opens a message that is field of the one around it. What end is given says where
// its content begins.
func begin(b []byte, field protowire.Number) (_ []byte, content int) {
	b = append(protowire.AppendTag(b, field, protowire.BytesType), 0) // room for a short length
	return b, len(b)
}

// end closes the message whose content begins there.
func end(b []byte, content int) []byte {
	n := len(b) - content
	if n < 0x80 {
		b[content-1] = byte(n)
		return b
	}
	more := protowire.SizeVarint(uint64(n)) - 1
	b = append(b, make([]byte, more)...)
	copy(b[content+more:], b[content:content+n])
	protowire.AppendVarint(b[:content-1], uint64(n))
	return b
}

// appendText writes a text, and nothing for an empty one: that is what proto3 has for it.
func appendText(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return appendMember(b, field, s)
}

// appendMember writes a text even if it is empty, as one of a oneof or of a list.
func appendMember(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

// appendNumber writes an integer or an enum, and nothing for zero.
func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

// appendPair writes a message of a key and a value.
func appendPair(b []byte, field protowire.Number, key, value string) []byte {
	b, pair := begin(b, field)
	return end(appendText(appendText(b, pairKey, key), pairValue, value), pair)
}

func appendDouble(b []byte, field protowire.Number, f float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), math.Float64bits(f))
}

func appendBool(b []byte, field protowire.Number, yes bool) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), protowire.EncodeBool(yes))
}
