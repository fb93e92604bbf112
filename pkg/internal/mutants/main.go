// Command mutants plants known bugs in Stepward's own code, one at a time, and
// checks that a test turns red for each. A suite that stays green over a header
// that is not removed proves nothing about headers.
//
// The bugs are data in mutants.txt: a name, a file, the packages whose tests
// must notice, and one line before and after. Nothing in the tree is changed:
// the go command reads the mutated file through an overlay.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/scanner"
	"go/token"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

//go:embed mutants.txt
var list string

// mutant is one planted bug.
type mutant struct {
	name, file    string
	tests         []string
	before, after string
}

func main() { os.Exit(run()) }

func run() int {
	only := flag.String("run", "", "plant only mutants whose name matches this regular expression")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	filter, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	mutants, err := parse(list)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	survived, tried := 0, 0
	for _, m := range mutants {
		if !filter.MatchString(m.name) {
			continue
		}
		tried++
		start := time.Now()
		by, err := m.plant(ctx)
		took := time.Since(start).Round(time.Second)
		switch {
		case err != nil:
			fmt.Printf("BROKEN    %-48s %v\n", m.name, err)
			survived++
		case by == "":
			fmt.Printf("SURVIVED  %-48s (%s) no test of %s noticed\n", m.name, took, strings.Join(m.tests, " "))
			survived++
		default:
			fmt.Printf("killed    %-48s (%s) by %s\n", m.name, took, by)
		}
	}
	fmt.Printf("%d mutants, %d killed, %d survived\n", tried, tried-survived, survived)
	if survived > 0 || tried == 0 {
		return 1
	}
	return 0
}

// parse reads blocks of "# name", "file:", "tests:", "- before", "+ after".
func parse(text string) ([]mutant, error) {
	var all []mutant
	for i, line := range strings.Split(text, "\n") {
		key, value, _ := strings.Cut(line, " ")
		if line == "" || key == "//" {
			continue
		}
		if key == "#" {
			all = append(all, mutant{name: value})
			continue
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("mutants.txt:%d: a line before the first name", i+1)
		}
		m := &all[len(all)-1]
		switch key {
		case "file:":
			m.file = value
		case "tests:":
			m.tests = strings.Fields(value)
		case "-":
			m.before = joined(m.before, value)
		case "+":
			m.after = joined(m.after, value)
		default:
			return nil, fmt.Errorf("mutants.txt:%d: %q is neither #, file:, tests:, - nor +", i+1, key)
		}
	}
	return all, nil
}

func joined(lines, line string) string {
	if lines == "" {
		return line
	}
	return lines + "\n" + line
}

// plant runs the tests over the mutated file and names the first that fails, or is empty if
// none does. A mutant that no longer applies, or that does not compile, is an error: it
// would be killed by the compiler and prove nothing.
func (m mutant) plant(ctx context.Context) (killedBy string, err error) {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return "", err
	}
	at, err := m.find(source)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	mutated := filepath.Join(dir, filepath.Base(m.file))
	if err := os.WriteFile(mutated, slices.Concat(source[:at[0]], []byte(m.after), source[at[1]:]), 0o600); err != nil {
		return "", err
	}
	original, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutated}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return "", err
	}
	packages := m.packages()
	if strings.HasSuffix(m.file, ".go") {
		packages = append(packages, "./"+filepath.Dir(m.file))
	}
	if out, err := goCommand(ctx, append([]string{"build", "-overlay", file}, packages...)...); err != nil {
		return "", fmt.Errorf("does not compile: %s", out)
	}
	out, err := goCommand(ctx, append([]string{"test", "-overlay", file, "-failfast", "-count=1", "-timeout", "2m"},
		m.tests...)...)
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) || ctx.Err() != nil {
		return "", errors.Join(err, ctx.Err())
	}
	if err == nil {
		return "", nil
	}
	if bytes.Contains(out, []byte("[build failed]")) {
		return "", fmt.Errorf("does not compile with its tests: %s", out)
	}
	if bytes.Contains(out, []byte("panic: test timed out")) {
		return "", errors.New("the tests took too long, which proves nothing")
	}
	return firstFailure(out), nil
}

// packages returns the packages whose tests must notice, without the flags for them.
func (m mutant) packages() []string {
	return slices.DeleteFunc(slices.Clone(m.tests), func(s string) bool { return strings.HasPrefix(s, "-") })
}

// find returns where the code to change begins and ends. If the file does not contain it as
// written, find compares token by token: a line may have been wrapped, or aligned with its
// neighbours.
func (m mutant) find(source []byte) ([]int, error) {
	if bytes.Count(source, []byte(m.before)) == 1 {
		at := bytes.Index(source, []byte(m.before))
		return []int{at, at + len(m.before)}, nil
	}
	set := token.NewFileSet()
	var s scanner.Scanner
	s.Init(set.AddFile("", set.Base(), len(m.before)), []byte(m.before), nil, scanner.ScanComments)
	var code strings.Builder
	for {
		_, kind, text := s.Scan()
		if kind == token.EOF {
			break
		}
		if kind == token.SEMICOLON && text == "\n" {
			continue
		}
		if text == "" || kind.IsOperator() {
			text = kind.String()
		}
		if code.Len() > 0 {
			code.WriteString(`\s*`)
		}
		code.WriteString(regexp.QuoteMeta(text))
	}
	found := regexp.MustCompile(code.String()).FindAllIndex(source, -1)
	if len(found) != 1 {
		return nil, fmt.Errorf("%s: the code to change stands there %d times", m.file, len(found))
	}
	return found[0], nil
}

func goCommand(ctx context.Context, args ...string) ([]byte, error) {
	return exec.CommandContext(ctx, "go", args...).CombinedOutput()
}

var failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// firstFailure returns the innermost test that failed, or whatever else went wrong.
func firstFailure(out []byte) string {
	found := failure.FindAllSubmatch(out, -1)
	if len(found) == 0 {
		return "a run that failed as a whole"
	}
	return string(found[len(found)-1][1])
}
