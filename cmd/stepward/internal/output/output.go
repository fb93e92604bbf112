// Package output writes what commands show: JSON for tools, and lines in colour for people
// who watch a terminal.
package output

import (
	"encoding/json"
	"io"
	"os"
	"regexp"
	"strings"
)

// JSON writes v with indentation.
func JSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// OneOf lists the permitted words.
func OneOf(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// Quoted writes a name so that a shell reads it as one word.
func Quoted(name string) string {
	if plainWord.MatchString(name) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./+:@%=,-]+$`)

// Coloured reports whether f is a terminal on which colours are welcome.
func Coloured(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" &&
		os.Getenv("TERM") != "dumb"
}
