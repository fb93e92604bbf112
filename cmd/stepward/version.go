package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// newest is the latest version in CHANGELOG.md. A build without a tag reports it together
// with what it knows about itself: 0.1.0+g2f9a6a1f6a53.
const newest = "0.1.0"

// The values that the linker sets, with -X, in make build, in a release and in the
// Dockerfile. All are empty in any other build.
var (
	linkedVersion string
	linkedCommit  string // followed by -dirty when files had changed since
	linkedDate    string // of the commit
)

func newVersionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Prints the version, the commit with its time, and the Go version and platform.

A build of a tag says its version: 0.1.0. Any other says the newest version that the
source knows and the commit, 0.1.0+g2f9a6a1f6a53, or +devel where the commit is not
known. A commit that ends in -dirty had changes that were not committed. A binary that go
install built names the module and its checksum, as the checksum database has it.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := thisBuild()
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(b)
			}
			_, err := fmt.Fprint(cmd.OutOrStdout(), b.text())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func version() string { return thisBuild().Version }

// build holds what a binary knows about how it was built.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Date     string `json:"date,omitempty"`   // of the commit
	Module   string `json:"module,omitempty"` // path@version and checksum, when the go command fetched it
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (b build) text() string {
	source := "commit " + b.Commit
	switch {
	case b.Date != "":
		source += ", " + b.Date
	case b.Module != "":
		source = "module " + b.Module
	}
	return fmt.Sprintf("stepward %s\n%s\n%s %s\n", b.Version, source, b.Go, b.Platform)
}

// thisBuild returns what the linker was told or, if it was told nothing, what the go
// command recorded.
func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return describe(build{Version: linkedVersion, Commit: linkedCommit, Date: linkedDate}, info)
}

// pseudo matches the end of a version that the go command made for a commit without a tag.
var pseudo = regexp.MustCompile(`[.-](\d{14})-([0-9a-f]{12})(\+dirty)?$`)

// describe fills in the values that linked leaves open.
func describe(linked build, info *debug.BuildInfo) build {
	recorded := build{Version: strings.TrimPrefix(info.Main.Version, "v")}
	var modified bool
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			recorded.Commit = s.Value
		case "vcs.time":
			recorded.Date = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if info.Main.Sum != "" {
		recorded.Module = info.Main.Path + "@" + info.Main.Version + " " + info.Main.Sum
	}
	if m := pseudo.FindStringSubmatch(info.Main.Version); m != nil {
		recorded.Version = newest + "+g" + m[2] + strings.Replace(m[3], "+", ".", 1)
		if at, err := time.Parse("20060102150405", m[1]); err == nil && recorded.Commit == "" {
			recorded.Commit, recorded.Date = m[2], at.Format(time.RFC3339)
		}
	}
	if modified {
		recorded.Commit += "-dirty"
	}
	if linked.Commit != "" {
		recorded.Commit, recorded.Date = linked.Commit, linked.Date
	}
	if linked.Version != "" {
		recorded.Version = linked.Version
	}
	if recorded.Version == "" || recorded.Version == "(devel)" {
		recorded.Version = newest + "+" + develOf(recorded.Commit)
	}
	if recorded.Commit == "" {
		recorded.Commit = "unknown"
	}
	recorded.Go, recorded.Platform = info.GoVersion, runtime.GOOS+"/"+runtime.GOARCH
	if recorded.Go == "" {
		recorded.Go = runtime.Version()
	}
	return recorded
}

// develOf returns what follows the newest version in a build of commit.
func develOf(commit string) string {
	hash, dirty := strings.CutSuffix(commit, "-dirty")
	if len(hash) < 12 {
		return "devel"
	}
	if dirty {
		return "g" + hash[:12] + ".dirty"
	}
	return "g" + hash[:12]
}
