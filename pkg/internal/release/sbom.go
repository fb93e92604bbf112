package main

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbom writes the bill of materials of a binary: the modules that the linker recorded in
// it, and the standard library, with the licences found in the module cache.
func (r release) sbom(binary, to string) error {
	dir, err := os.MkdirTemp("", "sbom")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	raw := filepath.Join(dir, "raw.json")
	cmd := exec.Command(r.sbomTool, "bin", "-json", "-std", "-licenses", "-noserial", "-notimestamp", "-short-purls",
		"-version", "v"+r.version, "-output", raw, binary)
	// Everything that was built is in the module cache. Our own module is not, and need not
	// be.
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", r.sbomTool, err, out)
	}
	text, err := os.ReadFile(raw)
	if err != nil {
		return err
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		return err
	}
	if err := r.settle(&bom); err != nil {
		return err
	}
	var out bytes.Buffer
	if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(
		&bom, cdx.SpecVersion1_6); err != nil {
		return err
	}
	return os.WriteFile(to, out.Bytes(), 0o644)
}

// settle removes what depends on the machine: the hashes of the tool's own binary. It adds
// the time of the commit, and our licence, which is not in the cache.
func (r release) settle(bom *cdx.BOM) error {
	m := bom.Metadata
	if m == nil || m.Component == nil || m.Tools == nil || m.Tools.Tools == nil || //nolint:staticcheck
		bom.Components == nil || len(*bom.Components) == 0 {
		return errors.New("the bill of materials has no component, no tool or no modules")
	}
	tools := *m.Tools.Tools //nolint:staticcheck // what cyclonedx-gomod writes
	for i := range tools {
		tools[i].Hashes = nil
	}
	m.Timestamp = r.date.Format("2006-01-02T15:04:05Z")
	m.Component.Licenses = &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}}
	m.Component.Evidence = nil
	return nil
}

// described reports an error if a binary contains modules that the first platform's binary
// does not: the one bill of materials is made from the first binary, and would leave them
// out. Other binaries may lack modules that only Linux needs.
func (r release) described() error {
	var first []string
	for _, p := range platforms {
		info, err := buildinfo.ReadFile(r.binary(p))
		if err != nil {
			return err
		}
		modules := []string{info.GoVersion}
		for _, dep := range info.Deps {
			modules = append(modules, dep.Path+"@"+dep.Version+" "+dep.Sum)
		}
		if first == nil {
			first = modules
		}
		for _, m := range modules {
			if !slices.Contains(first, m) {
				return fmt.Errorf("%s is made of %s, and %s, from which the bill of materials is made, is not", p, m,
					platforms[0])
			}
		}
	}
	return nil
}
