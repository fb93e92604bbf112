package snapshot

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/stepup"
)

// newLogin makes the login that sends browsers away to log in.
func newLogin(c config.Config, o Options) (authz.Login, error) {
	login, err := loginRedirect(c)
	if err != nil {
		return nil, err
	}
	if login.Seal, err = newSealer(c.LoginRedirect, o); err != nil {
		return nil, err
	}
	login.InsecureOrigin = o.InsecureOrigin
	return login, nil
}

// newSealer makes the function that seals requirements for the login application. It
// returns nil if they are written in clear.
func newSealer(l config.LoginRedirect, o Options) (func(stepup.Ask) string, error) {
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

// readKeys reads a file of keys in base64url, one per line.
func readKeys(name string, look *files.Look) ([][]byte, error) {
	text, err := look.Read(name, files.MaxFile)
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	for n, line := range strings.Fields(string(text)) {
		key, err := base64.RawURLEncoding.DecodeString(line)
		if err != nil { // the error would show a part of the key
			return nil, fmt.Errorf("%s: key %d is not base64url without padding", name, n+1)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no key; write one of 32 bytes in base64url a line", name)
	}
	return keys, nil
}
