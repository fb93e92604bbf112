// Package golden compares generated text, such as reference pages and the schema of the
// configuration, with the file in the repository. A stale page fails the test, and `make
// docs` writes it again.
package golden

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write generated files anew")

// Check fails unless the file holds text; with -update it writes it.
func Check(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; `make docs` writes it", err)
	}
	if string(kept) != text {
		t.Errorf("%s is stale; `make docs` writes it anew", file)
	}
}

// maxPicture limits a picture in the documentation, in bytes.
const maxPicture = 150 << 10

// CheckPicture fails unless the file is there and small; with -update it writes it. It does
// not compare pictures, because no two machines draw alike.
func CheckPicture(t *testing.T, file string, picture []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Size() == 0 || info.Size() > maxPicture {
		t.Errorf("%s is missing, empty or larger than %d bytes (%v); run the test with -args -update", file, maxPicture,
			err)
	}
}

// CheckCompressed does what Check does, for a file that is stored compressed with gzip.
func CheckCompressed(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte(text)) // into memory, as is the next
		z.Close()
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	z, err := gzip.NewReader(kept)
	if err != nil {
		t.Fatal(err)
	}
	was, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if string(was) == text {
		return
	}
	old, is := bytes.Split(was, []byte("\n")), bytes.Split([]byte(text), []byte("\n"))
	different := 0
	for n := range min(len(old), len(is)) {
		if !bytes.Equal(old[n], is[n]) && different < 5 {
			different++
			t.Errorf("%s:%d\nwas %s\nis  %s", file, n+1, old[n], is[n])
		}
	}
	t.Errorf("%s: %d lines, and were %d; where that is meant, run the test with -args -update", file, len(is), len(old))
}
