package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// clone is a clone of HEAD, without tags.
func clone(t *testing.T) (dir, commit string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "stepward")
	run(t, "../../..", nil, "git", "clone", "--quiet", "--no-tags", ".", dir)
	return dir, strings.TrimSpace(run(t, dir, nil, "git", "rev-parse", "HEAD"))
}

// source is a clone without git, as an unpacked archive has it.
func source(t *testing.T) string {
	t.Helper()
	dir, _ := clone(t)
	if err := os.RemoveAll(filepath.Join(dir, ".git")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// newest is the version that the source knows.
func newest(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^const newest = "(.*)"$`).FindSubmatch(read(t, "../../../cmd/stepward/version.go"))
	if m == nil {
		t.Fatal("version.go has no newest")
	}
	return string(m[1])
}

// says builds, by build, and compares what the binary says of itself.
func says(t *testing.T, binary, version, source string) {
	t.Helper()
	out := run(t, ".", nil, binary, "version")
	if want := "stepward " + version + "\n" + source; !strings.HasPrefix(out, want) {
		t.Errorf("\n got %q\nwant %q", out, want)
	}
	if platform := runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + "\n"; !strings.HasSuffix(
		out, platform) {
		t.Errorf("%q does not end in %q", out, platform)
	}
}

// The binary says its version in whatever way it was built.
func TestVersionByEveryWayOfBuilding(t *testing.T) {
	tagged, commit := clone(t)
	run(t, tagged, nil, "git", "tag", "v0.9.8")
	untagged, _ := clone(t)
	dirty, _ := clone(t)
	if err := os.WriteFile(filepath.Join(dirty, "new.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	at, plain, short := commit+", 2", "commit unknown\n", commit[:12]
	gobuild := func(flags string) func(dir string) string {
		return func(dir string) string {
			run(t, dir, []string{"CGO_ENABLED=0", "GOFLAGS=-trimpath " + flags}, "go", "build", "-o", "bin/",
				"./cmd/stepward")
			return filepath.Join(dir, "bin/stepward")
		}
	}
	make := func(dir string) string { run(t, dir, nil, "make", "build"); return filepath.Join(dir, "bin/stepward") }
	for _, v := range []struct {
		name, dir       string
		build           func(dir string) string
		version, source string
	}{
		{"make, at a tag", tagged, make, "0.9.8", "commit " + at},
		{"make, no tag", untagged, make, newest(t) + "+g" + short, "commit " + at},
		{"make, a changed tree", dirty, make, newest(t) + "+g" + short + ".dirty", "commit " + commit + "-dirty, 2"},
		{"make, no git", source(t), make, newest(t) + "+devel", plain},
		{"go build, at a tag", tagged, gobuild("-buildvcs=true"), "0.9.8", "commit " + at},
		{"go build, no tag", untagged, gobuild("-buildvcs=true"), newest(t) + "+g" + short, "commit " + at},
		{"go build, not asked", tagged, gobuild("-buildvcs=false"), newest(t) + "+devel", plain},
		{"Dockerfile", tagged, func(dir string) string { return dockerfile(t, dir) }, "0.9.8", "commit " + at},
		{"Dockerfile, arguments", source(t), func(dir string) string {
			return dockerfile(t, dir, "VERSION=1.2.3", "COMMIT=abc", "DATE=2027-01-01T00:00:00Z")
		}, "1.2.3", "commit abc, 2027-01-01T00:00:00Z\n"},
		{"go install", tagged, func(dir string) string { return install(t, dir, "v0.9.8") }, "0.9.8",
			"module github.com/stepward/stepward@v0.9.8 h1:"},
	} {
		t.Run(v.name, func(t *testing.T) { says(t, v.build(v.dir), v.version, v.source) })
	}
}

// dockerfile runs the command that builds the binary in the Dockerfile, with its
// arguments, where no Docker is.
func dockerfile(t *testing.T, dir string, arguments ...string) string {
	t.Helper()
	text := strings.ReplaceAll(string(read(t, filepath.Join(dir, "envoy/image/Dockerfile"))), "\\\n", "")
	m := regexp.MustCompile(`(?m)^RUN (.*go build.*)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("the Dockerfile builds nothing")
	}
	env := []string{}
	for _, name := range []string{"VERSION", "COMMIT", "DATE"} {
		if !strings.Contains(text, "\nARG "+name+"=\"\"\n") {
			t.Fatalf("the Dockerfile takes no %s", name)
		}
		env = append(env, name+"=")
	}
	out := t.TempDir()
	run(t, dir, append(env, arguments...), "sh", "-c", strings.ReplaceAll(m[1], "/out/", out+"/"))
	return filepath.Join(out, "stepward")
}

// install has the go command install version from a proxy that serves the module dir.
func install(t *testing.T, dir, version string) string {
	t.Helper()
	const path = "github.com/stepward/stepward"
	proxy, work := t.TempDir(), t.TempDir()
	versions := filepath.Join(proxy, path, "@v")
	if err := os.MkdirAll(versions, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"list": []byte(version + "\n"), version + ".info": []byte(`{"Version":"` + version + `"}`),
		version + ".mod": read(t, filepath.Join(dir, "go.mod")),
	} {
		if err := os.WriteFile(filepath.Join(versions, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Create(filepath.Join(versions, version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := zip.CreateFromDir(file, module.Version{Path: path, Version: version}, dir); err != nil {
		t.Fatal(err)
	}
	cache := strings.TrimSpace(run(t, dir, nil, "go", "env", "GOMODCACHE"))
	run(t, work, []string{
		"CGO_ENABLED=0", "GOBIN=" + work, "GOFLAGS=-trimpath -modcacherw", "GOMODCACHE=" + filepath.Join(work, "mod"),
		"GOSUMDB=off",
		"GOPROXY=file://" + proxy + ",file://" + cache + "/cache/download",
	}, "go", "install", path+"/cmd/stepward@"+version)
	return filepath.Join(work, "stepward")
}

// A release is of a tag and of nothing else, unless one names it oneself.
func TestReleaseIsOfATag(t *testing.T) {
	dir, _ := clone(t)
	tagged := func(args ...string) (string, error) {
		return try(dir, nil, "make", append([]string{"tagged"}, args...)...)
	}
	if out, err := tagged(); err == nil || !strings.Contains(out, "HEAD has no tag") {
		t.Errorf("no tag: %v %s", err, out)
	}
	if out, err := tagged("VERSION=v0.9.8"); err != nil {
		t.Errorf("named: %v %s", err, out)
	}
	run(t, dir, nil, "git", "tag", "v0.9.8")
	if out, err := tagged(); err != nil {
		t.Errorf("a tag: %v %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := tagged(); err == nil || !strings.Contains(out, "README.md") {
		t.Errorf("a changed tree: %v %s", err, out)
	}
	if out, err := try(source(t), nil, "make", "tagged"); err == nil || !strings.Contains(out, "not a git clone") {
		t.Errorf("no git: %v %s", err, out)
	}
}

// What .gitignore leaves out, Docker's context leaves out, and nothing else: a tracked
// file that is missing there would make the source dirty.
func TestDockerignore(t *testing.T) {
	entries := func(name string) map[string]bool {
		set := map[string]bool{}
		for line := range strings.Lines(string(read(t, name))) {
			line = strings.Trim(strings.TrimPrefix(strings.TrimSpace(line), "**/"), "/")
			if line != "" && !strings.HasPrefix(line, "#") {
				set[line] = true
			}
		}
		return set
	}
	git, docker := entries("../../../.gitignore"), entries("../../../.dockerignore")
	for name := range git {
		if !docker[name] {
			t.Errorf(".dockerignore has no %s", name)
		}
	}
	for name := range docker {
		if !git[name] {
			t.Errorf(".gitignore has no %s", name)
		}
	}
}
