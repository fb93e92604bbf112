// Package strictjson decodes JSON in the one way in which no two readers can
// differ: UTF-8, no member twice in an object at any depth however it is
// escaped, nothing after the value, and not nested too deep (RFC 8725 §3.7,
// RFC 7519 §4). The standard library's decoder takes the last of two members.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// MaxDepth is how many objects and arrays may stand in one another.
const MaxDepth = 32

// Decode is the JSON value in b: nil, bool, [json.Number], string, []any or
// map[string]any. Its errors quote nothing of b.
func Decode(b []byte) (any, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("strictjson: not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := value(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("strictjson: something follows the value")
	}
	return v, nil
}

// Object is the JSON object in b; any other value is an error.
func Object(b []byte) (map[string]any, error) {
	v, err := Decode(b)
	if err != nil {
		return nil, err
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("strictjson: not an object")
	}
	return o, nil
}

func value(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, errors.New("strictjson: malformed")
	}
	switch t {
	case json.Delim('{'):
		return object(d, depth+1)
	case json.Delim('['):
		return array(d, depth+1)
	}
	return t, nil
}

func object(d *json.Decoder, depth int) (any, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("strictjson: nested deeper than %d", MaxDepth)
	}
	o := map[string]any{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, errors.New("strictjson: malformed")
		}
		if _, twice := o[name]; twice {
			return nil, errors.New("strictjson: a member stands twice in one object")
		}
		if o[name], err = value(d, depth); err != nil {
			return nil, err
		}
	}
	return o, end(d)
}

func array(d *json.Decoder, depth int) (any, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("strictjson: nested deeper than %d", MaxDepth)
	}
	a := []any{}
	for d.More() {
		v, err := value(d, depth)
		if err != nil {
			return nil, err
		}
		a = append(a, v)
	}
	return a, end(d)
}

// end consumes the bracket that More has seen coming.
func end(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return errors.New("strictjson: malformed")
	}
	return nil
}
