// Package files reads what decides from disk: the configuration, policies, data, keys
// and certificates. It is the one place that does.
//
// A file is often read while somebody writes it: truncated and not written yet, one half
// of two, one file of a folder. What is in it then is often well-formed, and means
// something else. So files are read by a [Look], which holds all that it has read, and are
// taken when two looks some time apart have found the same: see [Settler]. What is made of
// them is made of the look, and not of the disk again.
package files

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// MaxFile bounds a file that is no policy and no data, in bytes. What is larger is
// another file.
const MaxFile = 1 << 20

// Look is what files held when they were first asked for. It is for one goroutine, as long
// as it is not sealed.
type Look struct {
	entries map[key]entry
	sealed  bool
}

// key is what was asked about a name.
type key struct{ name, asked string }

func (k key) compare(other key) int {
	return cmp.Or(strings.Compare(k.name, other.name), strings.Compare(k.asked, other.asked))
}

// entry is what stood at a name: a file, or the whole of a folder.
type entry struct {
	text []byte
	mod  time.Time
	tree []File // of a folder
	err  error
}

// File is a file of a tree.
type File struct {
	Name string // below the root as it was given, so that messages can be clicked
	Rel  string // below the root
	Text []byte
	Mod  time.Time // when it was last written, as the disk has it
}

// NewLook has looked at nothing yet.
func NewLook() *Look { return &Look{entries: map[key]entry{}} }

// Seal ends the looking: what was not read until now cannot be read from it any more.
func (l *Look) Seal() { l.sealed = true }

// Read is the text of a file of at most limit bytes. What is no regular file is an error,
// and does not block.
func (l *Look) Read(name string, limit int64) ([]byte, error) {
	e := l.at(key{name, "text"}, func() entry {
		text, mod, err := readFile(name, limit)
		return entry{text: text, mod: mod, err: err}
	})
	return e.text, e.err
}

// Exists is an error when there is nothing by that name.
func (l *Look) Exists(name string) error {
	return l.at(key{name, "there"}, func() entry {
		_, err := os.Stat(name)
		return entry{err: err}
	}).err
}

// Tree is the file at root, or every file below it whose name is wanted, in order of
// name. Folders whose names begin with a dot are left out. A link that leads out of the
// folder is an error: what is in a folder is not what somebody else may change elsewhere.
func (l *Look) Tree(root string, limit int64, wanted func(path string) bool) ([]File, error) {
	e := l.at(key{root, "tree"}, func() entry {
		list, mod, err := readTree(root, limit, wanted)
		return entry{tree: list, mod: mod, err: err}
	})
	return e.tree, e.err
}

func (l *Look) at(k key, read func() entry) entry {
	e, there := l.entries[k]
	switch {
	case there:
	case l.sealed:
		return entry{err: fmt.Errorf("files: %s was not read when the others were", k.name)}
	default:
		e = read()
		l.entries[k] = e
	}
	return e
}

// Differs is the name of a file that two looks have not found the same, or empty. A file
// that was written again is another one, whatever is in it.
func (l *Look) Differs(other *Look) string {
	keys := slices.Concat(slices.Collect(maps.Keys(l.entries)), slices.Collect(maps.Keys(other.entries)))
	slices.SortFunc(keys, key.compare)
	for _, k := range keys {
		a, there := l.entries[k]
		b, both := other.entries[k]
		if !there || !both {
			return k.name
		}
		if name, differ := a.differs(b); differ {
			return cmp.Or(name, k.name)
		}
	}
	return ""
}

// differs reports whether another entry is there, and the name of the file of a tree that
// is another.
func (e entry) differs(other entry) (name string, differ bool) {
	for i, f := range e.tree {
		if i >= len(other.tree) {
			return f.Name, true
		}
		if o := other.tree[i]; o.Name != f.Name || string(o.Text) != string(f.Text) || !o.Mod.Equal(f.Mod) {
			return f.Name, true
		}
	}
	if len(other.tree) > len(e.tree) {
		return other.tree[len(e.tree)].Name, true
	}
	return "", string(e.text) != string(other.text) || !e.mod.Equal(other.mod) || fmt.Sprint(e.err) != fmt.Sprint(
		other.err)
}

// since is the name of a file that was written after a time and not after now, or empty.
// A time in the future says nothing.
func (l *Look) since(after, now time.Time) string {
	late := func(t time.Time) bool { return t.After(after) && !t.After(now) }
	for _, k := range slices.SortedFunc(maps.Keys(l.entries), key.compare) {
		e := l.entries[k]
		for _, f := range e.tree {
			if late(f.Mod) {
				return f.Name
			}
		}
		if late(e.mod) {
			return k.name
		}
	}
	return ""
}

// readFile reads a regular file. One that is a pipe or a device by now is not opened for
// good, and one that grows is not read for ever.
func readFile(name string, limit int64) ([]byte, time.Time, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, time.Time{}, err
	case !info.Mode().IsRegular():
		return nil, time.Time{}, fmt.Errorf("%s is not a file", name)
	case info.Size() > limit:
		return nil, time.Time{}, tooLarge(name, limit)
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = tooLarge(name, limit)
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	return text, info.ModTime(), nil
}

func tooLarge(name string, limit int64) error {
	if limit >= 1<<20 {
		return fmt.Errorf("%s is larger than %d MiB", name, limit>>20)
	}
	return fmt.Errorf("%s is larger than %d bytes", name, limit)
}

// readTree also has the time at which something was put into a folder or taken out of it
// last.
func readTree(root string, limit int64, wanted func(path string) bool) (list []File, mod time.Time, err error) {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, mod, err
	}
	err = filepath.WalkDir(real, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != real && strings.HasPrefix(d.Name(), ".") {
				return filepath.SkipDir
			}
			info, err := d.Info()
			if err == nil && info.ModTime().After(mod) {
				mod = info.ModTime()
			}
			return err
		}
		if path != real && !wanted(path) {
			return nil
		}
		rel := strings.TrimPrefix(path, real)
		name := filepath.Join(root, rel)
		if err := within(real, path); err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
		text, written, err := readFile(path, limit)
		list = append(list, File{Name: name, Rel: strings.TrimPrefix(filepath.ToSlash(rel), "/"), Text: text,
			Mod: written})
		return err
	})
	if err != nil {
		return nil, mod, err
	}
	return list, mod, nil
}

// Hidden lists the wanted files below root that a [Look] leaves out, since their names or
// those of their folders begin with a dot, in order of name. What Kubernetes, version
// control and editors put there is not among them.
func Hidden(root string, wanted func(path string) bool) ([]string, error) {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	var found []string
	err = filepath.WalkDir(real, func(path string, d fs.DirEntry, err error) error {
		name, rel := d.Name(), strings.TrimPrefix(path, real)
		switch {
		case err != nil:
			return err
		case path == real:
		case d.IsDir() && (strings.HasPrefix(name, "..") || name == ".git"):
			return filepath.SkipDir
		case d.Type().IsRegular() && strings.Contains(filepath.ToSlash(rel), "/.") && !strings.HasPrefix(name, "._") &&
			wanted(strings.TrimLeft(name, ".")):
			found = append(found, filepath.Join(root, rel))
		}
		return nil
	})
	return found, err
}

// errOut is of a link that leads out of its folder.
var errOut = errors.New("leads out of its folder")

// within is an error for a link that leads out of the folder.
func within(root, path string) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(root, target); err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return fmt.Errorf("%w, to %s", errOut, target)
	}
	return nil
}
