package statuslist

import "time"

// ReadForTest does what read does, taken apart.
func ReadForTest(claims map[string]any, uri string) (data []byte, bits int, err error) {
	x, err := read(claims, uri, time.Unix(100, 0))
	if err != nil {
		return nil, 0, err
	}
	return x.data, x.bits, nil
}
