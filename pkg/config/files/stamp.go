package files

import (
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
)

// Stamp changes when one of the files does, or the content of one of the folders. It looks
// at the name, size, time and identity of each link's target, so that it notices a file
// that is replaced through symbolic links, as Kubernetes does. A missing file has a stamp,
// too. A stamp is cheap, and does not say whether somebody is still writing.
func Stamp(paths []string) uint64 {
	h := fnv.New64a()
	for _, root := range paths {
		resolved, err := filepath.EvalSymlinks(root)
		fmt.Fprintln(h, root, resolved, err != nil)
		filepath.WalkDir(resolved, func(path string, _ fs.DirEntry, err error) error {
			info, statErr := os.Stat(path)
			if err != nil || statErr != nil {
				fmt.Fprintln(h, path, "missing")
				return nil // seen, as missing
			}
			target := path
			if real, err := filepath.EvalSymlinks(path); err == nil {
				target = real
			}
			fmt.Fprintln(h, path, target, info.Size(), info.ModTime().UnixNano(), info.Mode(), inode(info))
			return nil
		})
	}
	return h.Sum64()
}
