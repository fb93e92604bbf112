package opaenvoy

import "path/filepath"

// SeenFrom returns the name of a file as the configuration file at out must write it:
// relative to the folder of out, or absolute if a link among the folders would lead astray.
// Without out it is the name itself, as for a configuration in the working folder.
func SeenFrom(out, name string) string {
	if filepath.IsAbs(name) || out == "" {
		return name
	}
	dir, err := filepath.Abs(filepath.Dir(out))
	file, err2 := filepath.Abs(name)
	if err != nil || err2 != nil {
		return name // there is no working folder
	}
	// Above a link, names and folders do not agree.
	named, err := filepath.Rel(dir, file)
	really, err2 := filepath.Rel(withoutLinks(dir), filepath.Join(withoutLinks(filepath.Dir(file)),
		filepath.Base(file)))
	if err != nil || err2 != nil || named != really {
		return file
	}
	return named
}

// withoutLinks resolves the links in the name of a folder. A folder that does not exist yet
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
