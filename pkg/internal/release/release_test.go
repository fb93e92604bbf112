package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// run runs a command in dir and returns what it printed.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	out, err := try(dir, env, name, args...)
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return out
}

func try(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// trial is a release whose binaries are this test's own: what is looked at is what is
// made of them.
func trial(t *testing.T) release {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	tool := filepath.Join(root, ".tools/bin/cyclonedx-gomod-1.10.0")
	run(t, root, nil, "make", tool)
	r := release{version: "0.1.0", commit: "2f9a6a1f6a53c0ffee00c0ffee00c0ffee00c0ff", root: root,
		binaries: t.TempDir(), out: t.TempDir(), sbomTool: tool, notesOfTag: true}
	if err := r.stamp("2026-11-28T10:00:00+02:00"); err != nil {
		t.Fatal(err)
	}
	binary := read(t, self)
	for _, p := range platforms {
		if err := os.Mkdir(filepath.Dir(r.binary(p)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.binary(p), binary, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// The same input gives the same bytes, elsewhere and later.
func TestReleaseTwice(t *testing.T) {
	first, second := trial(t), trial(t)
	for _, r := range []release{first, second} {
		if err := r.make(""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond) // clock: archives count in seconds: without a pause a clock that got in would not show
	}
	run(t, ".", nil, "diff", "-r", first.out, second.out)
	run(t, first.out, nil, "sha256sum", "--check", "--strict", "SHA256SUMS")
	entries, err := os.ReadDir(first.out)
	if err != nil {
		t.Fatal(err)
	}
	sums := string(read(t, filepath.Join(first.out, "SHA256SUMS")))
	for _, e := range entries {
		if listed := strings.Contains(sums, "  "+e.Name()+"\n"); listed != (!e.IsDir() && e.Name() != "SHA256SUMS") {
			t.Errorf("%s is listed in SHA256SUMS: %v", e.Name(), listed)
		}
	}
	if len(entries) != len(platforms)+5 { // the image as folder and archive, bill of materials, notes, checksums
		t.Errorf("%v", entries)
	}
	checkArchives(t, first)
	checkSBOM(t, first)
}

func checkArchives(t *testing.T, r release) {
	t.Helper()
	for _, p := range platforms {
		folder := "stepward-0.1.0-" + p
		z, err := gzip.NewReader(bytes.NewReader(read(t, filepath.Join(r.out, folder+".tar.gz"))))
		if err != nil {
			t.Fatal(err)
		}
		want := []string{folder + "/", folder + "/CHANGELOG.md", folder + "/LICENSE", folder + "/README.md",
			folder + "/stepward"}
		archive := tar.NewReader(z)
		for i := 0; ; i++ {
			h, err := archive.Next()
			if err == io.EOF && i == len(want) {
				break
			}
			if err != nil || i == len(want) || h.Name != want[i] {
				t.Fatalf("%s: entry %d: %v %v", p, i, h, err)
			}
			if !h.ModTime.Equal(r.date) || h.Uid != 0 || h.Gid != 0 || h.Uname != "" {
				t.Errorf("%s: %s tells of the machine: %+v", p, h.Name, h)
			}
			if program := strings.HasSuffix(h.Name, "/stepward") || i == 0; program != (h.Mode == 0o755) {
				t.Errorf("%s: %s has mode %o", p, h.Name, h.Mode)
			}
		}
	}
}

func checkSBOM(t *testing.T, r release) {
	t.Helper()
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(read(t, filepath.Join(r.out, "stepward-0.1.0.cdx.json"))),
		cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if bom.Metadata.Component.Version != "v0.1.0" || bom.Metadata.Timestamp != "2026-11-28T08:00:00Z" {
		t.Errorf("%+v", bom.Metadata)
	}
	licensed := map[string]bool{}
	for _, c := range *bom.Components {
		licensed[c.Name] = c.Evidence != nil && c.Evidence.Licenses != nil
	}
	if !licensed["github.com/google/go-containerregistry"] {
		t.Errorf("a module of this binary has no licence: %v", licensed)
	}
}

// A binary may lack modules of the one from which the bill of materials is made, and have
// no others.
func TestDescribed(t *testing.T) {
	r := trial(t)
	if err := r.described(); err != nil {
		t.Error(err)
	}
	less := func(platform string) {
		other := filepath.Join(t.TempDir(), "other")
		run(t, "../../..", nil, "go", "build", "-o", other, "./pkg/internal/mutants")
		if err := os.Rename(other, r.binary(platform)); err != nil {
			t.Fatal(err)
		}
	}
	less("darwin-arm64")
	if err := r.described(); err != nil {
		t.Error(err)
	}
	less(platforms[0])
	if err := r.make(""); err == nil || !strings.Contains(
		err.Error(), "from which the bill of materials is made, is not") {
		t.Error(err)
	}
}

func TestStamp(t *testing.T) {
	for version, ok := range map[string]bool{
		"0.1.0": true, "10.20.30-rc.1": true, "0.1.0-g2f9a6a1f6a53": true,
		"": false, "v0.1.0": false, "0.1": false, "0.1.0+g2f9a": false, "0.1.0 ": false, "../0.1.0": false,
		"0.1.0-a/b": false, "latest": false,
	} {
		r := release{version: version}
		if err := r.stamp("2026-11-28T10:00:00Z"); (err == nil) != ok {
			t.Errorf("%q: %v", version, err)
		}
	}
	r := release{version: "0.1.0"}
	if r.stamp("") == nil {
		t.Error("no time is a time")
	}
}

func TestNotes(t *testing.T) {
	const changelog = "# Changelog\n\n## Unreleased\n\n- next, [how](docs/a.md)\n\n## 0.2.0 - 2027-01-01\n\n- two [x](https://example.com/), [up](#top)\n\n## 0.1.0 - 2026-11-28\n\n- one\n\n## 0.0.9 - 2026-01-01\n\n## 0.0.8\n- x\n"
	for name, v := range map[string]struct {
		version string
		tag     bool
		has     []string
		not     string
	}{
		"the last": {"0.2.0", true,
			[]string{"# Stepward 0.2.0\n", "- two [x](https://example.com/), [up](#top)\n",
				"blob/v0.2.0/docs/operations.md", "`sha256:abc`"}, "- one"},
		"an older one": {"0.1.0", true, []string{"- one\n"}, "two"},
		"a trial": {"0.3.0", false,
			[]string{"- next, [how](https://github.com/stepward/stepward/blob/c0ffee/docs/a.md)"}, "two"},
		"a tag unknown":    {"0.3.0", true, nil, ""},
		"a prefix":         {"0.1", true, nil, ""},
		"a section empty":  {"0.0.9", true, nil, ""},
		"a dot is no wild": {"0x1.0", true, nil, ""},
	} {
		r := release{version: v.version, commit: "c0ffee", root: t.TempDir(), out: t.TempDir(), notesOfTag: v.tag}
		if err := os.WriteFile(filepath.Join(r.root, "CHANGELOG.md"), []byte(changelog), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.notes("sha256:abc"); (err == nil) != (v.has != nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range v.has {
			if text := string(read(t, filepath.Join(r.out, r.name()+"-notes.md"))); !strings.Contains(text, want) ||
				v.not != "" && strings.Contains(text, v.not) {
				t.Errorf("%s: no %q, or %q:\n%s", name, want, v.not, text)
			}
		}
	}
}
