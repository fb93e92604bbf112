package main

import (
	"bytes"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// passwd holds the image's only user; envoy/image/Dockerfile writes the same.
const passwd = "stepward:x:65532:65532::/:/sbin/nologin\n"

// image writes the layout of the image as a folder, and as the archive of that folder,
// and returns the digest of its index: one name for both architectures.
func (r release) image() (string, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range platforms {
		goos, arch, _ := strings.Cut(platform, "-")
		if goos != "linux" {
			continue
		}
		img, err := r.imageFor(platform, arch)
		if err != nil {
			return "", err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			MediaType: types.OCIManifestSchema1, Platform: &v1.Platform{OS: goos, Architecture: arch},
		}})
	}
	index = mutate.Annotations(index, r.annotations()).(v1.ImageIndex)
	folder := filepath.Join(r.out, r.name()+"-oci")
	if err := os.RemoveAll(folder); err != nil {
		return "", err
	}
	path, err := layout.Write(folder, empty.Index)
	if err != nil {
		return "", err
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(
		map[string]string{"org.opencontainers.image.ref.name": r.version})); err != nil {
		return "", err
	}
	files, err := tree(folder)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := writeTar(&out, r.date, files); err != nil {
		return "", err
	}
	if err := os.WriteFile(folder+".tar", out.Bytes(), 0o644); err != nil {
		return "", err
	}
	digest, err := index.Digest()
	return digest.String(), err
}

// imageFor returns the image for one architecture. Its command and user are the same as in
// envoy/image/Dockerfile; a test compares the two.
func (r release) imageFor(platform, arch string) (v1.Image, error) {
	binary, err := os.ReadFile(r.binary(platform))
	if err != nil {
		return nil, err
	}
	base, err := r.layer([]file{
		{"etc/", 0o755, nil}, {"etc/passwd", 0o644, []byte(passwd)},
		{"etc/ssl/", 0o755, nil}, {"etc/ssl/certs/", 0o755, nil}, {"etc/ssl/certs/ca-certificates.crt", 0o644, roots()},
	})
	if err != nil {
		return nil, err
	}
	program, err := r.layer([]file{{"stepward", 0o755, binary}})
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		OS: "linux", Architecture: arch, Created: v1.Time{Time: r.date},
		RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User:         "65532:65532",
			Entrypoint:   []string{"/stepward"},
			Cmd:          []string{"serve", "--config=/etc/stepward/stepward.yaml"},
			ExposedPorts: map[string]struct{}{"9191/tcp": {}, "9192/tcp": {}},
			Labels:       r.annotations(),
		},
	})
	if err != nil {
		return nil, err
	}
	of := func(l v1.Layer, what string) mutate.Addendum {
		return mutate.Addendum{Layer: l, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: r.date},
			CreatedBy: "make release", Comment: what}}
	}
	return mutate.Append(img, of(base, "CA certificates and a user"), of(program, "stepward"))
}

func (r release) layer(files []file) (v1.Layer, error) {
	var out bytes.Buffer
	if err := writeTar(&out, r.date, files); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(out.Bytes())),
			nil
	},
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

func (r release) annotations() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":    "stepward",
		"org.opencontainers.image.version":  r.version,
		"org.opencontainers.image.revision": r.commit,
		"org.opencontainers.image.created":  r.date.Format("2006-01-02T15:04:05Z"),
		"org.opencontainers.image.source":   "https://github.com/stepward/stepward",
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
}

// roots returns Mozilla's list as the Go project keeps it, pinned in go.mod. A certificate
// file cannot say that a root is trusted only in part, such as for what it signed before a
// date. Such roots are left out, which refuses some certificates that Mozilla might still
// accept.
func roots() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			// It writes to memory, which cannot fail.
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return out.Bytes()
}
