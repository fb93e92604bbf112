//go:build unix

package server

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A socket is never open to others, not even until its mode is set: under the most lenient
// umask it is made with the mode that it is to have, or less.
func TestBindMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	for _, mode := range []os.FileMode{0o600, 0o660} {
		path := filepath.Join(t.TempDir(), "s")
		l, err := bind(path, mode)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("made with %v, for %v: %v", info.Mode(), mode, err)
		}
	}
}
