package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/cmd/stepward/internal/output"
	"github.com/stepward/stepward/envoy"
	"github.com/stepward/stepward/examples"
	"github.com/stepward/stepward/pkg/config"
)

// initFlags say what a new folder is made for.
type initFlags struct {
	issuer, audience, host string
	force                  bool
}

func newInitCommand() *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Write a folder to start from",
		Long: `Writes a commented configuration, a policy with its tests, the schema of the
configuration for editors, and a hardened Envoy configuration that asks for the
service. It overwrites nothing that is already there.`,
		Example: `  stepward init gateway --issuer https://idp.example.com --audience https://api.example.com
  cd gateway && stepward validate -c stepward.yaml && stepward test policies`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name the folder to write, such as gateway")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := f.files()
			if err != nil {
				return usage(err)
			}
			if err := writeNew(args[0], files, f.force); err != nil {
				return usage(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), wrote, len(files), args[0], output.Quoted(args[0]))
			return nil
		},
	}
	cmd.Flags().StringVar(&f.issuer, "issuer", "https://idp.example.com", "URL of the identity provider, as in iss")
	cmd.Flags().StringVar(&f.audience, "audience", "https://api.example.com", "audience of its tokens, as in aud")
	cmd.Flags().StringVar(&f.host, "host", "app.example.com", "host whose browsers are sent to log in")
	cmd.Flags().BoolVar(&f.force, "force", false, "overwrite files that already exist")
	return cmd
}

// wrote says what to do next.
const wrote = `Wrote %d files to %s. Next:

  cd %s
  stepward validate -c stepward.yaml   # what serve would refuse
  stepward test policies               # the policy's own tests
  stepward doctor -c stepward.yaml     # can it run here?
  stepward serve -c stepward.yaml      # answer Envoy; envoy.yaml asks
`

// regal configures the linter Regal for Stepward policies: it lists what Regal would report
// but is not a slip here.
const regal = `# Regal (https://openpolicyagent.org/projects/regal) beside stepward validate.
rules:
  idiomatic:
    no-defined-entrypoint: { level: ignore } # entry rules are found by their names
  style:
    messy-rule: { level: ignore } # a rule of require stands beside what it is about
`

// files returns the files of the quickstart, by name, adapted to the flags.
func (f initFlags) files() (map[string]string, error) {
	files := map[string]string{"envoy.yaml": string(envoy.Config), "stepward.schema.json": string(config.Schema),
		".regal/config.yaml": regal}
	err := fs.WalkDir(examples.Quickstart(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == "README.md" {
			return err
		}
		text, err := fs.ReadFile(examples.Quickstart(), name)
		files[name] = string(text)
		return err
	})
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"https://idp.example.com": f.issuer,
		"https://api.example.com": f.audience, "app.example.com": f.host} {
		quoted, err := yaml.Marshal(value)
		if err != nil || strings.ContainsAny(value, "\n\r") {
			return nil, fmt.Errorf("%q cannot be written", value)
		}
		files["stepward.yaml"] = strings.Replace(files["stepward.yaml"], name, strings.TrimSpace(string(quoted)), 1)
	}
	if u, err := url.Parse(f.issuer); err != nil || u.Host == "" {
		return nil, fmt.Errorf("--issuer: %q is not an absolute URL", f.issuer)
	}
	files["stepward.yaml"] = "# yaml-language-server: $schema=stepward.schema.json\n" + files["stepward.yaml"]
	return files, nil
}

// writeNew writes files below dir: all of them or, if one already exists, none.
func writeNew(dir string, files map[string]string, force bool) error {
	for name := range files {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil && !force {
			return fmt.Errorf("%s already exists; --force overwrites it", filepath.Join(dir, name))
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
