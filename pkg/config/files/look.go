// Package files reads everything that decides from disk: the configuration, policies,
// data, keys and certificates. Nothing else does.
//
// A file is often read while somebody is writing it: it may be truncated but not yet
// written, it may be half there, or it may be the only one of its folder so far. Its text
// is then often well-formed and means something else. So a [Look] reads files and keeps
// everything that it read, and the files are accepted once two looks some time apart have
// found the same: see [Settler]. Everything is built from the look; nobody goes back to the
// disk.
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

// MaxFile bounds a file that holds neither policy nor data, in bytes. A larger file cannot
// be the intended one.
const MaxFile = 1 << 20

// Look holds what files contained when they were first asked for. Until it is sealed, only
// one goroutine may use it.
type Look struct {
	entries map[key]entry
	sealed  bool
}

// key names a file and the question asked about it.
type key struct{ name, asked string }

func (k key) compare(other key) int {
	return cmp.Or(strings.Compare(k.name, other.name), strings.Compare(k.asked, other.asked))
}

// entry holds what was found under a name: a file, or a whole folder.
type entry struct {
	text []byte
	mod  time.Time
	tree []File // of a folder
	err  error
}

// File is one file of a tree.
type File struct {
	Name string // below the root as it was given, so that editors can open it
	Rel  string // below the root
	Text []byte
	Mod  time.Time // when it was last written, as the disk has it
}

// NewLook returns a look that has read nothing yet.
func NewLook() *Look { return &Look{entries: map[key]entry{}} }

// Seal ends the look: a file that has not been read by now can no longer be read from it.
func (l *Look) Seal() { l.sealed = true }

// Read returns the text of a file of at most limit bytes. Anything but a regular file is an
// error, and does not block.
func (l *Look) Read(name string, limit int64) ([]byte, error) {
	e := l.at(key{name, "text"}, func() entry {
		text, mod, err := readFile(name, limit)
		return entry{text: text, mod: mod, err: err}
	})
	return e.text, e.err
}

// Exists returns an error if there is nothing by that name.
func (l *Look) Exists(name string) error {
	return l.at(key{name, "there"}, func() entry {
		_, err := os.Stat(name)
		return entry{err: err}
	}).err
}

// Tree returns the file at root, or every wanted file below it, in order of name. It leaves
// out folders whose names begin with a dot. A link that leads out of the folder is an
// error: somebody else could change its target elsewhere.
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

// Differs returns the name of a file that differs between the two looks, or nothing. A file
// that was written again differs, whatever is in it.
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

// differs reports whether other is a different entry. For a tree, it also names the file
// that makes the difference.
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
	return "", string(e.text) != string(other.text) || !e.mod.Equal(other.mod) ||
		fmt.Sprint(e.err) != fmt.Sprint(other.err)
}

// since returns the name of a file that was written after the given time and not after now,
// or nothing. A time in the future says nothing about a file.
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

// readFile reads a regular file. It does not block if the file has become a pipe or a
// device, and does not read forever if it grows.
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

// readTree also returns the time of the last addition to or removal from one of the
// folders.
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

// Hidden lists the wanted files below root that a [Look] leaves out because their names or
// those of their folders begin with a dot, in order of name. It omits the files that
// Kubernetes, version control and editors put there.
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

// errOut says that a link leads out of its folder.
var errOut = errors.New("leads out of its folder")

// within returns an error for a link that leads out of the folder.
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
