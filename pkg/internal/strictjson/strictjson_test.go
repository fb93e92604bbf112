package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/internal/strictjson"
)

func TestDecode(t *testing.T) {
	for _, v := range []struct {
		in   string
		want any
	}{
		{`{"a":[1,2.5,"x",null,true],"b":{}}`, map[string]any{"a": []any{json.Number("1"), json.Number("2.5"), "x", nil,
			true}, "b": map[string]any{}}},
		{` "x" `, "x"},
		{`[]`, []any{}},
		{`[1e64,-1E-64,1e+0064]`, []any{json.Number("1e64"), json.Number("-1E-64"), json.Number("1e+0064")}},
		{strings.Repeat("9", 64), json.Number(strings.Repeat("9", 64))},
		{strings.Repeat("[", 32) + strings.Repeat("]", 32), nil},
	} {
		got, err := strictjson.Decode([]byte(v.in))
		if err != nil || v.want != nil && !reflect.DeepEqual(got, v.want) {
			t.Errorf("%s: %v, %v", v.in, got, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, in := range []string{
		``, ` `, `{`, `[1,]`, `{"a":1,}`, `nul`, `01`, `+1`, `NaN`, `'x'`,
		`{"a":1,"a":2}`, `{"acr":"1","\u0061cr":"2"}`, `[{"x":{"y":1,"y":1}}]`,
		`"\ud800"`, `"\ud800\u0041"`, `"\udc00\ud800"`, `"\x"`, `"\u00g0"`, "\"\t\"", `"`, `-`, `1.`, `.5`, `1e`, `-01`,
		`[1 2]`, `{"a" 1}`, `{1:1}`, `tru`, `[,]`, `{,}`,
		`{} {}`, `{}x`, `{}]`, "\ufeff{}", "\"\xff\"", "{\"\xc0\xaf\":1}",
		strings.Repeat("[", 33) + strings.Repeat("]", 33), strings.Repeat("[", 100_000),
	} {
		if got, err := strictjson.Decode([]byte(in)); err == nil {
			t.Errorf("%.40q gives %v", in, got)
		}
	}
	for _, in := range []string{
		`1e65`, `1E+65`, `-1e-65`, `1e309`, `[1e30000]`, `{"a":1e99999999999999999999}`, `1e0065`, `0e400`,
		strings.Repeat("9", 65), "1." + strings.Repeat("0", 63), strings.Repeat("[", 33) + strings.Repeat("]", 33),
	} {
		if got, err := strictjson.Decode([]byte(in)); !errors.Is(err, strictjson.ErrTooLarge) {
			t.Errorf("%.40q gives %v, %v", in, got, err)
		}
	}
	for _, in := range []string{`{"a":1,"a":2}`, `[{"x":{"y":1,"\u0079":1}}]`} {
		if got, err := strictjson.Decode([]byte(in)); !errors.Is(err, strictjson.ErrDuplicate) {
			t.Errorf("%q gives %v, %v", in, got, err)
		}
	}
	if _, err := strictjson.Object([]byte(`[]`)); err == nil {
		t.Error("an array is an object")
	}
}

// Values count wherever they stand, and names of members do not.
func TestDecodeSome(t *testing.T) {
	for text, values := range map[string]int{`1`: 1, `[]`: 1, `[1,[2],"x"]`: 5, `{"a":{"b":null},"c":[{}]}`: 5,
		`[123456789012345]`: 2, `[1234567890123456,1]`: 18} {
		if _, err := strictjson.DecodeSome([]byte(text), values); err != nil {
			t.Errorf("%s is more than %d values: %v", text, values, err)
		}
		if got, err := strictjson.DecodeSome([]byte(text), values-1); !errors.Is(err, strictjson.ErrTooLarge) {
			t.Errorf("%s is at most %d values: %v, %v", text, values-1, got, err)
		}
	}
}

// What is accepted means the same to the standard library's decoder.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{"a":1,"a":2}`, `[[]]`, `"\ud800"`, `1e400`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := strictjson.Decode(b)
		if err != nil {
			return
		}
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.UseNumber()
		var want any
		if err := d.Decode(&want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v; the standard library reads %v, %v", b, got, want, err)
		}
	})
}

func ExampleObject() {
	_, err := strictjson.Object([]byte(`{"acr":"low","\u0061cr":"high"}`))
	fmt.Println(err)
	// Output: strictjson: a member stands twice in one object
}
