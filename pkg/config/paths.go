package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
)

// The values of the tag `file`. Every field that names a file or a folder has one of them.
// Such names are relative to the folder of the configuration.
const (
	read    = "read"    // read when the configuration takes effect: it must exist, and is watched
	kept    = "kept"    // a folder that Stepward itself writes: it must exist, and is not watched
	written = "written" // a file that Stepward creates
)

// resolve makes file names relative to the folder of the configuration, and lists those
// that decide in Sources.
func (d *decoder) resolve(c *Config) {
	if d.file != "" {
		c.Sources = append(c.Sources, d.file)
	}
	d.paths(reflect.ValueOf(c).Elem(), "", func(path, use string, name *string) {
		if *name == "" {
			return
		}
		if !filepath.IsAbs(*name) {
			*name = filepath.Join(filepath.Dir(d.file), *name)
		}
		if use != written {
			d.exists(path, *name)
		}
		if use == read {
			c.Sources = append(c.Sources, *name)
		}
	})
	slices.Sort(c.Sources)
	c.Bundles.Text = d.opa(c.Bundles.ConfigFile)
}

// paths visits every file name in v, the value at path.
func (d *decoder) paths(v reflect.Value, at string, visit func(path, use string, name *string)) {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			d.paths(v.Index(i), fmt.Sprintf("%s[%d]", at, i), visit)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			path := join(at, f.Tag.Get("yaml"))
			use := f.Tag.Get("file")
			if use == "" {
				d.paths(v.Field(i), path, visit)
				continue
			}
			switch name := v.Field(i).Addr().Interface().(type) {
			case *string:
				visit(path, use, name)
			case *[]string:
				for i := range *name {
					visit(fmt.Sprintf("%s[%d]", path, i), use, &(*name)[i])
				}
			}
		}
	}
}

// exists reports a file that does not exist.
func (d *decoder) exists(path, name string) {
	if err := d.look.Exists(name); err != nil {
		d.failAt(path, err.Error(), "file names are relative to the folder of "+filepath.Base(d.file))
	}
}
