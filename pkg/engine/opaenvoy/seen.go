package opaenvoy

import "path/filepath"

// SeenFrom returns the name of a file as a configuration in the file at out names it:
// relative to the folder of that file, wherever it is, or absolute where a link among the
// folders would lead astray. Without out it is the name itself, as for a configuration in
// the working folder.
func SeenFrom(out, name string) string {
	if filepath.IsAbs(name) || out == "" {
		return name
	}
	dir, err := filepath.Abs(filepath.Dir(out))
	file, err2 := filepath.Abs(name)
	if err != nil || err2 != nil {
		return name // there is no working folder
	}
	// What is above a link differs by the names and by the folders.
	named, err := filepath.Rel(dir, file)
	really, err2 := filepath.Rel(withoutLinks(dir), filepath.Join(withoutLinks(filepath.Dir(file)),
		filepath.Base(file)))
	if err != nil || err2 != nil || named != really {
		return file
	}
	return named
}

// withoutLinks returns a folder without links in its name. A folder that does not exist yet
// has none.
func withoutLinks(dir string) string {
	if there, err := filepath.EvalSymlinks(dir); err == nil {
		return there
	}
	if parent := filepath.Dir(dir); parent != dir {
		return filepath.Join(withoutLinks(parent), filepath.Base(dir))
	}
	return dir
}
