package memo

import (
	"encoding/binary"
	"strings"

	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/token"
)

// Feature is something in which inputs differ for a policy. What two features append never
// reads as what two others would have: each begins with its length or is of a fixed one.
type Feature interface {
	// append writes the feature of in, and reports false where in cannot be remembered.
	append(dst []byte, in *policy.Input) ([]byte, bool)
}

// Whole is a member of the input, whatever it holds.
type Whole struct{ member }

// NewWhole returns the feature that is the member at path, or false where there is no way
// to write that member into a key: of a body, say, or of the whole request.
func NewWhole(path []string, prefix string) (Whole, bool) {
	m, ok := memberAt(path, prefix)
	return Whole{m}, ok
}

func (w Whole) append(dst []byte, in *policy.Input) ([]byte, bool) { return w.write(dst, in), true }

// Among is which of some constants a text is, or that it is none of them, or not there.
type Among struct {
	text  text
	place map[string]uint64
}

// The numbers before those of the constants.
const (
	absent uint64 = iota
	another
	firstConstant
)

// NewAmong returns the feature of the text at path among constants, or false where no text
// is known to stand there.
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

// Begins is with which of some prefixes a text begins.
type Begins struct {
	text     text
	prefixes []string
}

// NewBegins returns the feature of the text at path and prefixes, or false where no text is
// known to stand there.
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

// Depth is how many segments the path has.
type Depth struct{}

func (Depth) append(dst []byte, in *policy.Input) ([]byte, bool) {
	return binary.AppendUvarint(dst, uint64(len(in.Request.Segments))), true
}

// Caller is the token as a whole, by its serial number: a token is verified once and asked
// about often. What is not numbered is not remembered.
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
