package keyset

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// kept is a key set in a file.
type kept struct {
	Issuer string    `json:"issuer"`
	URI    string    `json:"jwks_uri,omitempty"`
	At     time.Time `json:"fetched_at"`
	Set    string    `json:"jwks"`
	Digest string    `json:"sha256"` // of the members above
}

// digest detects a file that was cut short or corrupted. It does not protect against anyone
// who can write the file; the file's mode does.
func (k kept) digest() string {
	h := sha256.New()
	for _, s := range []string{k.Issuer, k.URI, k.At.Format(time.RFC3339Nano), k.Set} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// keep writes a good set to the file, either completely or not at all.
func (r *Remote) keep(l *loaded) error {
	if r.c.CacheFile == "" {
		return nil
	}
	k := kept{Issuer: r.c.Issuer, URI: r.c.JWKSURI, At: l.at.UTC().Round(0), Set: string(l.text)}
	k.Digest = k.digest()
	text, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("keyset: cache: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(r.c.CacheFile), ".keys-*") // mode 0600
	if err != nil {
		return fmt.Errorf("keyset: cache: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), r.c.CacheFile)
	}
	if err != nil {
		os.Remove(f.Name()) // a partial file is useless
		return fmt.Errorf("keyset: cache: %w", err)
	}
	return nil
}

// restore trusts the set of an earlier run if it is complete, belongs to this issuer, and
// is no older than keys may be while they cannot be fetched.
func (r *Remote) restore() (bool, error) {
	if r.c.CacheFile == "" {
		return false, nil
	}
	k, err := readKept(r.c.CacheFile)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("keyset: cache: %w", err)
	}
	age := r.c.Now().Sub(k.At)
	switch {
	case k.Issuer != r.c.Issuer || k.URI != r.c.JWKSURI:
		return false, fmt.Errorf("keyset: cache: %s is of another issuer", r.c.CacheFile)
	case age < 0:
		return false, fmt.Errorf("keyset: cache: %s is from the future", r.c.CacheFile)
	case age > r.c.Bounds.StaleIfError:
		return false, fmt.Errorf("keyset: cache: %s is older than %s", r.c.CacheFile, r.c.Bounds.StaleIfError)
	}
	set, skipped, err := Parse([]byte(k.Set))
	if err != nil {
		return false, fmt.Errorf("keyset: cache: %s: %w", r.c.CacheFile, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replace(&loaded{set: set, skipped: skipped, at: k.At}, r.c.Now())
	return true, nil
}

// readKept reads a file that only its owner can write.
func readKept(name string) (kept, error) {
	f, err := os.Open(name)
	if err != nil {
		return kept{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return kept{}, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 || !own(info) {
		return kept{}, fmt.Errorf("%s is not a file that only this user can write", name)
	}
	text, err := io.ReadAll(io.LimitReader(f, 4*maxAnswer))
	if err != nil {
		return kept{}, err
	}
	var k kept
	if json.Unmarshal(text, &k) != nil || k.Digest != k.digest() {
		return kept{}, fmt.Errorf("%s is damaged", name)
	}
	return k, nil
}
