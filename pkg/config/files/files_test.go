package files_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/config/files"
)

// clock is a time that only sleeping moves. After each sleep a writer may do something.
type clock struct {
	now  time.Time
	then func(slept int)
	n    int
}

func (c *clock) terms() files.Terms {
	return files.Terms{Now: func() time.Time { return c.now }, Sleep: func(_ context.Context, d time.Duration) error {
		c.now = c.now.Add(d)
		if c.n++; c.then != nil {
			c.then(c.n)
		}
		return nil
	}}
}

func put(t testing.TB, name, text string, at time.Time) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	touch(t, name, at)
}

func touch(t testing.TB, name string, at time.Time) {
	t.Helper()
	for _, n := range []string{name, filepath.Dir(name)} {
		if err := os.Chtimes(n, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

func rego(path string) bool { return filepath.Ext(path) == ".rego" }

// held is all that a look at a folder found.
func held(l *files.Look, dir string) string {
	tree, err := l.Tree(dir, files.MaxFile, rego)
	if err != nil {
		return "error"
	}
	var b strings.Builder
	for _, f := range tree {
		fmt.Fprintf(&b, "%s=%s;", f.Rel, f.Text)
	}
	return b.String()
}

// Whatever a writer does, and however its steps fall between the looks, only the state
// before it began or after it ended is accepted.
func TestSettleTakesNothingHalf(t *testing.T) {
	const before, after = "a.rego=old a;b.rego=old b;", "a.rego=new a;b.rego=new b;"
	type step func(t *testing.T, dir string, now time.Time)
	write := func(name, text string) step {
		return func(t *testing.T, dir string, now time.Time) { put(t, filepath.Join(dir, name), text, now) }
	}
	rename := func(name, text string) step {
		return func(t *testing.T, dir string, now time.Time) {
			put(t, filepath.Join(dir, ".new"), text, now.Add(-time.Hour)) // written elsewhere, long ago
			if err := os.Rename(filepath.Join(dir, ".new"), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(dir, now, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) step {
		return func(t *testing.T, dir string, now time.Time) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(dir, now, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, steps := range map[string][]step{
		"truncate and write": {write("a.rego", ""), write("a.rego", "new a"), write("b.rego", ""),
			write("b.rego", "new b")},
		"two halves": {write("a.rego", "new"), write("a.rego", "new a"), write("b.rego", "ne"),
			write("b.rego", "new b")},
		"rename, one by one": {rename("a.rego", "new a"), rename("b.rego", "new b")},
		"remove, then write": {remove("b.rego"), remove("a.rego"), write("b.rego", "new b"), write("a.rego", "new a")},
		"through another one": {write("c.rego", "c"), write("a.rego", "new a"), write("b.rego", "new b"),
			remove("c.rego")},
	} {
		for gap := 10 * time.Millisecond; gap < files.Rest; gap += 30 * time.Millisecond {
			t.Run(fmt.Sprintf("%s, a step each %s", name, gap), func(t *testing.T) {
				dir := t.TempDir()
				start := time.Now().Truncate(time.Second)
				for _, f := range []string{"a", "b"} {
					put(t, filepath.Join(dir, f+".rego"), "old "+f, start.Add(-time.Hour))
				}
				// The looks are as frequent as can be: at each of them the writer has done all
				// the steps that are due.
				now, done := start, 0
				s := files.NewSettler(files.Terms{Now: func() time.Time { return now }})
				var taken []string
				for ; now.Before(start.Add(5 * time.Second)); now = now.Add(7 * time.Millisecond) {
					for ; done < len(steps) &&
						!now.Before(start.Add(100*time.Millisecond+time.Duration(done)*gap)); done++ {
						steps[done](t, dir, now)
					}
					l := files.NewLook()
					text := held(l, dir)
					ok, _, err := s.Offer(l, now)
					if err != nil {
						t.Fatal(err)
					}
					if ok {
						taken = append(taken, text)
					}
				}
				for _, text := range taken {
					if text != before && text != after {
						t.Errorf("taken: %s", text)
					}
				}
				if len(taken) == 0 || taken[len(taken)-1] != after {
					t.Errorf("what was written is never taken: %v", taken)
				}
			})
		}
	}
}

// A time in the future says nothing: two equal looks with rest between them count, and no
// other.
func TestFutureTime(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x")
	now := time.Now()
	put(t, name, "1", now.Add(time.Hour))
	c := &clock{now: now}
	begun := c.now
	c.then = func(n int) {
		if n == 1 {
			put(t, name, "2", now.Add(time.Hour))
		}
	}
	l, err := files.Settle(t.Context(), c.terms(), func(l *files.Look) { l.Read(name, 10) })
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := l.Read(name, 10); string(text) != "2" || c.now.Sub(begun) < 2*files.Rest {
		t.Errorf("%s after %s", text, c.now.Sub(begun))
	}
}

// A file that never settles is named, and nothing is taken.
func TestNeverSettles(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	put(t, filepath.Join(dir, "still.rego"), "x", now.Add(-time.Hour))
	c := &clock{now: now}
	c.then = func(n int) { put(t, filepath.Join(dir, "moving.rego"), fmt.Sprint(n), c.now) }
	_, err := files.Settle(t.Context(), c.terms(), func(l *files.Look) { held(l, dir) })
	var moving *files.MovingError
	if !errors.As(err, &moving) || !strings.HasSuffix(moving.Name, "moving.rego") || c.now.Sub(now) > 2*files.Limit {
		t.Errorf("%v after %s", err, c.now.Sub(now))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	put(t, filepath.Join(dir, "moving.rego"), "0", time.Now())
	if _, err := files.Settle(ctx, files.Terms{}, func(l *files.Look) { held(l, dir) }); !errors.Is(
		err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// Glance does not wait for files that were written long ago, and waits for recent ones.
func TestGlance(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x")
	now := time.Now()
	for age, slept := range map[time.Duration]bool{time.Hour: false, files.Rest: false,
		files.Rest - time.Millisecond: true, 0: true} {
		put(t, name, "x", now.Add(-age))
		c := &clock{now: now}
		if _, err := files.Glance(t.Context(), c.terms(), func(l *files.Look) { l.Read(name, 10) }); err != nil ||
			(c.n > 0) != slept {
			t.Errorf("%s: slept %d times, %v", age, c.n, err)
		}
	}
	// Two looks that differ are no glance.
	put(t, name, "x", now.Add(-time.Hour))
	c, reads := &clock{now: now}, 0
	_, err := files.Glance(t.Context(), c.terms(), func(l *files.Look) {
		l.Read(name, 10)
		if reads++; reads == 1 {
			put(t, name, "y", now.Add(-time.Hour))
		}
	})
	if err != nil || c.n == 0 {
		t.Errorf("slept %d times, %v", c.n, err)
	}
}

// Something that is not a file does not block, is not read forever, and is not mistaken for
// a file.
func TestWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "o.rego")
	put(t, outside, "o", time.Now())
	kinds := map[string]func(name string) error{
		"is not a file": func(name string) error { return syscall.Mkfifo(name, 0o600) },
		"is larger than 1 MiB": func(name string) error {
			return os.WriteFile(name, make([]byte, files.MaxFile+1),
				0o600)
		},
		"no such file or directory": func(name string) error { return os.Symlink("nowhere", name) },
		"leads out of its folder":   func(name string) error { return os.Symlink(outside, name) },
	}
	if os.Geteuid() != 0 {
		kinds["permission denied"] = func(name string) error { return os.WriteFile(name, nil, 0) }
	}
	for want, kind := range kinds {
		sub := filepath.Join(dir, strings.ReplaceAll(want, " ", "-"))
		if err := errors.Join(os.Mkdir(sub, 0o700), kind(filepath.Join(sub, "x.rego"))); err != nil {
			t.Fatal(err)
		}
		l := files.NewLook()
		if tree, err := l.Tree(sub, files.MaxFile, rego); err == nil || !strings.Contains(err.Error(), want) ||
			tree != nil {
			t.Errorf("%s: %v, %v", want, tree, err)
		}
		if _, err := l.Read(filepath.Join(sub, "x.rego"), files.MaxFile); (err == nil) != (want == "leads out of its folder") {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := files.NewLook().Read(dir, 10); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("%v", err)
	}
}

// What was not read when the others were is not read later.
func TestSealed(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a.rego"), "a", time.Now())
	l := files.NewLook()
	if held(l, dir) != "a.rego=a;" {
		t.Fatal(held(l, dir))
	}
	l.Seal()
	put(t, filepath.Join(dir, "a.rego"), "b", time.Now())
	if held(l, dir) != "a.rego=a;" {
		t.Errorf("read again: %s", held(l, dir))
	}
	if _, err := l.Read(filepath.Join(dir, "a.rego"), 10); err == nil {
		t.Error("read after it was sealed")
	}
	if err := l.Exists(dir); err == nil {
		t.Error("looked up after it was sealed")
	}
}

// Two looks at one moment are one, however old the file is; and a time that was in the
// future at the first look counts once it has come.
func TestRestBetweenLooks(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x")
	start := time.Now()
	now := start
	for _, written := range []time.Duration{-time.Hour, files.Rest - 50*time.Millisecond} {
		put(t, name, "x", start.Add(written))
		now = start
		s := files.NewSettler(files.Terms{Now: func() time.Time { return now }})
		var taken []time.Duration
		for ; len(taken) == 0 && now.Before(start.Add(time.Minute)); now = now.Add(10 * time.Millisecond) {
			for range 2 {
				l := files.NewLook()
				if text, err := l.Read(name, 10); err != nil || string(text) != "x" {
					t.Fatal(err)
				}
				if ok, _, err := s.Offer(l, now); ok || err != nil {
					taken = append(taken, now.Sub(start))
				}
			}
		}
		if want := max(files.Rest, written+files.Rest); len(taken) != 1 || taken[0] < want {
			t.Errorf("written after %s: taken after %v; want one, not before %s", written, taken, want)
		}
	}
}

// Two looks at a folder differ by a file more, a file less, another name, another text and
// another time, at every place in the order of names.
func TestTreesDiffer(t *testing.T) {
	at := time.Now().Add(-time.Hour)
	dir := filepath.Join(t.TempDir(), "policy")
	look := func(names map[string]string, when time.Time) *files.Look {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range names {
			put(t, filepath.Join(dir, name), text, when)
		}
		l := files.NewLook()
		if _, err := l.Tree(dir, 1<<20, func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
		return l
	}
	base := map[string]string{"b": "1", "d": "2"}
	if name := look(base, at).Differs(look(base, at)); name != "" {
		t.Errorf("the same twice: %s", name)
	}
	for what, other := range map[string]map[string]string{
		"one more before": {"a": "", "b": "1", "d": "2"}, "one more between": {"b": "1", "c": "", "d": "2"},
		"one more behind": {"b": "1", "d": "2", "e": ""},
		"one less":        {"b": "1"}, "the other less": {"d": "2"}, "another name": {"b": "1", "e": "2"},
		"another text": {
			"b": "1", "d": "3"},
	} {
		if look(base, at).Differs(look(other, at)) == "" || look(other, at).Differs(look(base, at)) == "" {
			t.Errorf("%s: the same", what)
		}
	}
	if look(base, at).Differs(look(base, at.Add(time.Second))) == "" {
		t.Error("another time: the same")
	}
}
