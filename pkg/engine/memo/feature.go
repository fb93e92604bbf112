package memo

import (
	"encoding/binary"
	"strings"

	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/token"
)

// Feature is something that distinguishes inputs for a policy. The bytes that two features
// append can never be mistaken for those of two others: each begins with its length or has
// a fixed one.
type Feature interface {
	// append writes the feature of in, and reports false if in cannot be remembered.
	append(dst []byte, in *policy.Input) ([]byte, bool)
}

// Whole is a member of the input, whatever its value.
type Whole struct{ member }

// NewWhole returns the feature for the member at path, or false if that member cannot be
// written into a key, such as a body or the whole request.
func NewWhole(path []string, prefix string) (Whole, bool) {
	m, ok := memberAt(path, prefix)
	return Whole{m}, ok
}

func (w Whole) append(dst []byte, in *policy.Input) ([]byte, bool) { return w.write(dst, in), true }

// Among says which of some constants a text equals, that it equals none of them, or that it
// is absent.
type Among struct {
	text  text
	place map[string]uint64
}

// The numbers below those of the constants.
const (
	absent uint64 = iota
	another
	firstConstant
)

// NewAmong returns the feature for the text at path among constants, or false if no text is
// known to be there.
func NewAmong(path []string, prefix string, constants []string) (Among, bool) {
	t, ok := textAt(path, prefix)
	a := Among{text: t, place: map[string]uint64{}}
	for _, c := range constants {
		if _, twice := a.place[c]; !twice {
			a.place[c] = firstConstant + uint64(len(a.place))
		}
	}
	return a, ok
}

func (a Among) append(dst []byte, in *policy.Input) ([]byte, bool) {
	s, there := a.text(in)
	n := absent
	if there {
		n = another
		if at, ok := a.place[s]; ok {
			n = at
		}
	}
	return binary.AppendUvarint(dst, n), true
}

// Begins says which of some prefixes a text begins with.
type Begins struct {
	text     text
	prefixes []string
}

// NewBegins returns the feature for the text at path and prefixes, or false if no text is
// known to be there.
func NewBegins(path []string, prefix string, prefixes []string) (Begins, bool) {
	t, ok := textAt(path, prefix)
	return Begins{t, prefixes}, ok
}

func (b Begins) append(dst []byte, in *policy.Input) ([]byte, bool) {
	s, there := b.text(in)
	if !there {
		return append(dst, 0), true
	}
	dst = append(dst, 1)
	for _, p := range b.prefixes {
		dst = appendBool(dst, strings.HasPrefix(s, p))
	}
	return dst, true
}

// Depth counts the segments of the path.
type Depth struct{}

func (Depth) append(dst []byte, in *policy.Input) ([]byte, bool) {
	return binary.AppendUvarint(dst, uint64(len(in.Request.Segments))), true
}

// Caller is the token as a whole, by its serial number: a token is verified once and used
// for many requests. A token without a number is not remembered.
type Caller struct{}

func (Caller) append(dst []byte, in *policy.Input) ([]byte, bool) {
	t := in.Token
	if t == nil {
		return append(dst, 0), true
	}
	if t.Serial == (token.Serial{}) {
		return dst, false
	}
	dst = binary.BigEndian.AppendUint64(append(dst, 1), t.Serial.Of)
	dst = binary.BigEndian.AppendUint64(dst, t.Serial.N)
	dst = appendText(dst, string(t.Scheme))
	dst = appendBool(dst, t.SenderConstrained)
	dst = binary.AppendUvarint(dst, uint64(len(in.Levels)))
	for _, l := range in.Levels {
		dst = appendText(dst, l)
	}
	return dst, true
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
