package main

import (
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

const (
	hash  = "2f9a6a1f6a53c0ffee00c0ffee00c0ffee00c0ff"
	short = "2f9a6a1f6a53"
	date  = "2026-11-28T10:00:00Z"
)

// Each way of building leaves something else behind: the version comes out of each.
func TestDescribe(t *testing.T) {
	const path = "github.com/stepward/stepward"
	vcs := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.revision", Value: hash}, {Key: "vcs.time", Value: date},
			{Key: "vcs.modified", Value: modified}}
	}
	module := func(version, sum string) debug.Module { return debug.Module{Path: path, Version: version, Sum: sum} }
	for name, v := range map[string]struct {
		linked build
		info   debug.BuildInfo
		want   build
	}{
		"make, at a tag": {build{Version: "0.1.0", Commit: hash, Date: date}, debug.BuildInfo{
			Main: module("(devel)", "")}, build{Version: "0.1.0", Commit: hash, Date: date}},
		"make, changed files": {build{Version: "0.1.0", Commit: hash + "-dirty", Date: date}, debug.BuildInfo{
			Main: module("(devel)", "")}, build{Version: "0.1.0", Commit: hash + "-dirty", Date: date}},
		"a commit without version": {build{Commit: hash, Date: date}, debug.BuildInfo{},
			build{Version: newest + "+g" + short, Commit: hash, Date: date}},
		"the same, changed": {build{Commit: hash + "-dirty", Date: date}, debug.BuildInfo{},
			build{Version: newest + "+g" + short + ".dirty", Commit: hash + "-dirty", Date: date}},
		"a version without commit": {build{Version: "0.1.0"}, debug.BuildInfo{},
			build{Version: "0.1.0", Commit: "unknown"}},
		"the linker before the go command": {
			build{Version: "0.2.0", Commit: "aaaaaaaaaaaaaaaa", Date: "2027-01-01T00:00:00Z"}, debug.BuildInfo{
				Main: module("v0.1.0", ""), Settings: vcs("true")},
			build{Version: "0.2.0", Commit: "aaaaaaaaaaaaaaaa", Date: "2027-01-01T00:00:00Z"}},
		"go build, at a tag": {build{}, debug.BuildInfo{Main: module("v0.1.0", ""), Settings: vcs("false")},
			build{Version: "0.1.0", Commit: hash, Date: date}},
		"go build, at a tag, changed": {build{}, debug.BuildInfo{Main: module("v0.1.0+dirty", ""),
			Settings: vcs("true")}, build{Version: "0.1.0+dirty", Commit: hash + "-dirty", Date: date}},
		"go build, no tag": {build{}, debug.BuildInfo{Main: module("v0.0.0-20261128100000-"+short, ""),
			Settings: vcs("false")},
			build{Version: newest + "+g" + short, Commit: hash, Date: date}},
		"go build, after a tag, changed": {
			build{}, debug.BuildInfo{Main: module("v0.1.1-0.20261128100000-"+short+"+dirty", ""),
				Settings: vcs("true")},
			build{Version: newest + "+g" + short + ".dirty", Commit: hash + "-dirty", Date: date}},
		"go build -buildvcs=false": {build{}, debug.BuildInfo{Main: module("(devel)", "")},
			build{Version: newest + "+devel", Commit: "unknown"}},
		"go install @v0.1.0": {build{}, debug.BuildInfo{Main: module("v0.1.0", "h1:abc=")},
			build{Version: "0.1.0", Commit: "unknown", Module: path + "@v0.1.0 h1:abc="}},
		"go install @main": {build{}, debug.BuildInfo{Main: module("v0.1.1-0.20261128100000-"+short, "h1:abc=")},
			build{Version: newest + "+g" + short, Commit: short, Date: date,
				Module: path + "@v0.1.1-0.20261128100000-" + short + " h1:abc="}},
		"a pre-release": {build{}, debug.BuildInfo{Main: module("v0.2.0-rc.1", "h1:abc=")},
			build{Version: "0.2.0-rc.1", Commit: "unknown", Module: path + "@v0.2.0-rc.1 h1:abc="}},
		"nothing known": {build{}, debug.BuildInfo{}, build{Version: newest + "+devel", Commit: "unknown"}},
	} {
		v.want.Go, v.want.Platform = runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH
		if got := describe(v.linked, &v.info); got != v.want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, v.want)
		}
	}
}

func TestVersionText(t *testing.T) {
	for name, v := range map[string]struct {
		b    build
		line string
	}{
		"a commit":           {build{Commit: hash, Date: date}, "commit " + hash + ", " + date},
		"a module":           {build{Commit: "unknown", Module: "m@v1 h1:x"}, "module m@v1 h1:x"},
		"a module, a commit": {build{Commit: short, Date: date, Module: "m@v1 h1:x"}, "commit " + short + ", " + date},
		"nothing":            {build{Commit: "unknown"}, "commit unknown"},
	} {
		if lines := strings.Split(v.b.text(), "\n"); len(lines) != 4 || lines[1] != v.line {
			t.Errorf("%s: %q", name, lines)
		}
	}
}

// What a build without a tag calls itself is the version that was decided last.
func TestNewestIsThatOfTheChangelog(t *testing.T) {
	changelog, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	chart, err := os.ReadFile("../../envoy/helm/stepward/Chart.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(?m)^## (\d\S*) - \d{4}-\d{2}-\d{2}$`).FindSubmatch(changelog); m == nil ||
		string(m[1]) != newest {
		t.Errorf("CHANGELOG.md has %q first, and version.go %q", m, newest)
	}
	for _, want := range []string{"\nversion: " + newest + "\n", "\nappVersion: \"" + newest + "\"\n"} {
		if !strings.Contains(string(chart), want) {
			t.Errorf("Chart.yaml has no %q", want)
		}
	}
}
