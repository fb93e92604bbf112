// Command release turns built binaries into the files of a release page: an archive for
// each platform, an OCI image layout, the bill of materials, the notes and the checksums.
// The same input gives the same bytes on any machine and at any time. Call it with make
// release, which builds the binaries and packages the chart.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

func main() {
	var r release
	var date string
	flag.StringVar(&r.version, "version", "", "the version, without a v")
	flag.StringVar(&r.commit, "commit", "", "the commit that was built")
	flag.StringVar(&date, "date", "", "the time of the commit (RFC 3339): everything carries it")
	flag.StringVar(&r.root, "root", "../../..", "the root of the repository")
	flag.StringVar(&r.binaries, "binaries", "", "folder with PLATFORM/stepward for each platform")
	flag.StringVar(&r.out, "out", "", "folder to write to; it exists")
	flag.StringVar(&r.sbomTool, "sbom-tool", "", "the program cyclonedx-gomod")
	flag.BoolVar(&r.notesOfTag, "tag", false, "CHANGELOG.md must have the version")
	only := flag.String("only", "", "make only this: image, or sbom (of the binary that -binaries names)")
	flag.Parse()
	err := r.stamp(date)
	if err == nil {
		err = r.make(*only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release: "+err.Error())
		os.Exit(1)
	}
}

// platforms lists the platforms for which a release has binaries.
var platforms = []string{"linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64"}

// release holds what is known before anything is made.
type release struct {
	version, commit, root, binaries, out, sbomTool string

	date       time.Time
	notesOfTag bool
}

// name begins the name of every file of this release.
func (r release) name() string { return "stepward-" + r.version }

func (r release) binary(platform string) string {
	return filepath.Join(r.binaries, platform, "stepward")
}

// versionForm is the form of version that Helm, image tags and file names all accept.
var versionForm = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

func (r *release) stamp(date string) (err error) {
	if !versionForm.MatchString(r.version) {
		return fmt.Errorf("the version is %q; write it as 0.1.0 or 0.1.0-rc.1", r.version)
	}
	if r.date, err = time.Parse(time.RFC3339, date); err != nil {
		return fmt.Errorf("the time of the commit: %w", err)
	}
	r.date = r.date.UTC()
	return nil
}

// make makes everything, or only the named parts.
func (r release) make(only string) error {
	switch only {
	case "image":
		_, err := r.image()
		return err
	case "sbom":
		return r.sbom(r.binaries, filepath.Join(r.out, "stepward.cdx.json"))
	case "":
	default:
		return fmt.Errorf("-only %q: there is image and sbom", only)
	}
	if err := r.described(); err != nil {
		return err
	}
	for _, p := range platforms {
		if err := r.archive(p); err != nil {
			return err
		}
	}
	if err := r.sbom(r.binary(platforms[0]), filepath.Join(r.out, r.name()+".cdx.json")); err != nil {
		return err
	}
	digest, err := r.image()
	if err != nil {
		return err
	}
	if err := r.notes(digest); err != nil {
		return err
	}
	return r.checksums()
}
