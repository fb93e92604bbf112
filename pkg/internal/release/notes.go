package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const repository = "https://github.com/stepward/stepward"

// notes writes the notes of the release: its section of CHANGELOG.md, and how to verify the
// downloaded files.
func (r release) notes(digest string) error {
	changelog, err := os.ReadFile(filepath.Join(r.root, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	body, ok := section(string(changelog), r.version)
	if !ok {
		if r.notesOfTag {
			return fmt.Errorf("CHANGELOG.md has no section %q with a date: write it before the tag",
				"## "+r.version+" - YYYY-MM-DD")
		}
		body, _ = section(string(changelog), "Unreleased")
	}
	tree := repository + "/blob/" + r.commit + "/"
	if r.notesOfTag {
		tree = repository + "/blob/v" + r.version + "/"
	}
	text := fmt.Sprintf(`# Stepward %s

%s

## Verify

    sha256sum --check --ignore-missing SHA256SUMS

The image is one index for linux/amd64 and linux/arm64:
%s

"make release" at this tag, with the same version of Go, makes the same bytes.
[How to bring the image to your registry](%sdocs/operations.md#releasing).
`, r.version, absolute(body, tree), "`"+digest+"`", tree)
	return os.WriteFile(filepath.Join(r.out, r.name()+"-notes.md"), []byte(text), 0o644)
}

// section returns the text below the heading of version, and whether there is one.
func section(changelog, version string) (string, bool) {
	heading := regexp.MustCompile(`(?m)^## ` + regexp.QuoteMeta(version) + `( - \d{4}-\d{2}-\d{2})?$`)
	at := heading.FindStringIndex(changelog)
	if at == nil {
		return "", false
	}
	body := changelog[at[1]:]
	if end := strings.Index(body, "\n## "); end >= 0 {
		body = body[:end]
	}
	body = strings.TrimSpace(body)
	return body, body != ""
}

var relative = regexp.MustCompile(`\]\(([^):#][^):]*)\)`)

// absolute makes links to files of the repository work from a release page.
func absolute(body, tree string) string {
	return relative.ReplaceAllString(body, "]("+tree+"$1)")
}
