package server

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/stepup"
)

// newSealer seals what is said to the login application, or is nil where it is written out.
func newSealer(l config.LoginRedirect, o SnapshotOptions) (func(stepup.Ask) string, error) {
	if l.SealingKeysFile == "" {
		return nil, nil
	}
	keys, err := readKeys(l.SealingKeysFile, o.Look)
	if err != nil {
		return nil, fmt.Errorf("login_redirect: %w", err)
	}
	seal, err := authz.NewSealer(keys[0], o.Now)
	if err != nil {
		return nil, fmt.Errorf("login_redirect: %s: %w", l.SealingKeysFile, err)
	}
	return seal, nil
}

// readKeys reads a file of keys, one in base64url a line.
func readKeys(name string, look *files.Look) ([][]byte, error) {
	text, err := look.Read(name, files.MaxFile)
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	for _, line := range strings.Fields(string(text)) {
		key, err := base64.RawURLEncoding.DecodeString(line)
		if err != nil {
			return nil, fmt.Errorf("%s holds what is not base64url", name)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no key", name)
	}
	return keys, nil
}
