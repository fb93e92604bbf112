package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const imageVersion = "0.9.8-test"

// TestImage makes the image as one would, takes it apart, runs what is in it with
// nothing else around, and brings it to a registry.
func TestImage(t *testing.T) {
	out := t.TempDir()
	commit := strings.TrimSpace(run(t, "../../..", nil, "pkg/internal/release/version", "commit"))
	run(t, "../../..", nil, "make", "image", "VERSION="+imageVersion, "DIST="+out)
	folder := filepath.Join(out, "stepward-"+imageVersion+"-oci")
	top, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 ||
		manifest.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != imageVersion {
		t.Fatalf("%v %+v", err, manifest)
	}
	index, err := top.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err = index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 2 {
		t.Fatalf("%v %+v", err, manifest)
	}
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	for _, m := range manifest.Manifests {
		img, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		root := unpack(t, img)
		checkConfig(t, img, m.Platform.Architecture)
		checkBinary(t, filepath.Join(root, "stepward"), machines[m.Platform.Architecture])
		delete(machines, m.Platform.Architecture)
		if m.Platform.OS == runtime.GOOS && m.Platform.Architecture == runtime.GOARCH {
			runImage(t, root, commit)
		}
	}
	if len(machines) != 0 {
		t.Errorf("no image for %v", machines)
	}
	pushed(t, folder, index)
}

// unpack writes the files of img below a new folder, and sees that there are no others
// than it needs.
func unpack(t *testing.T, img v1.Image) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	layers := mutate.Extract(img)
	defer layers.Close()
	files := map[string]int64{"etc/passwd": 0o644, "etc/ssl/certs/ca-certificates.crt": 0o644, "stepward": 0o755}
	for archive := tar.NewReader(layers); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil || !filepath.IsLocal(h.Name) {
			t.Fatalf("%v %+v", err, h)
		}
		to := filepath.Join(root, h.Name)
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(to, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if mode, known := files[h.Name]; !known || h.Typeflag != tar.TypeReg || h.Mode != mode || h.Uid != 0 ||
			h.Gid != 0 {
			t.Errorf("unexpected: %+v", h)
		}
		delete(files, h.Name)
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, os.FileMode(h.Mode)); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) != 0 {
		t.Errorf("the image has no %v", files)
	}
	return root
}

// checkConfig compares the image with what the Dockerfile says of it.
func checkConfig(t *testing.T, img v1.Image, arch string) {
	t.Helper()
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	dockerfile := string(read(t, "../../../envoy/image/Dockerfile"))
	_, last, found := strings.Cut(dockerfile, "\nFROM scratch\n")
	if !found {
		t.Fatal("the Dockerfile's image is not made from scratch")
	}
	argument := func(instruction string) string {
		m := regexp.MustCompile(`(?m)^` + instruction + ` (.*)$`).FindStringSubmatch(last)
		if m == nil {
			t.Fatalf("the Dockerfile has no %s", instruction)
		}
		return m[1]
	}
	words := func(list []string) string {
		text, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(text), `","`, `", "`)
	}
	c := file.Config
	if file.Architecture != arch || file.OS != "linux" {
		t.Errorf("%s/%s is called %s", file.OS, file.Architecture, arch)
	}
	if c.User != argument("USER") || words(c.Entrypoint) != argument("ENTRYPOINT") || words(c.Cmd) != argument("CMD") {
		t.Errorf("the Dockerfile says otherwise: %+v", c)
	}
	for _, port := range strings.Fields(argument("EXPOSE")) {
		if _, ok := c.ExposedPorts[port+"/tcp"]; !ok {
			t.Errorf("port %s is not exposed", port)
		}
	}
	if !strings.Contains(dockerfile, strings.TrimSuffix(passwd, "\n")) {
		t.Error("the Dockerfile has another user")
	}
	if c.Labels["org.opencontainers.image.version"] != imageVersion {
		t.Errorf("%v", c.Labels)
	}
}

// checkBinary sees that a binary is of the machine, static and stripped.
func checkBinary(t *testing.T, path string, machine elf.Machine) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Machine != machine {
		t.Errorf("%s is for %s, not for %s", path, f.Machine, machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%s is not static: %s", path, p.Type)
		}
	}
	for _, s := range f.Sections {
		if s.Type == elf.SHT_SYMTAB || strings.Contains(s.Name, "debug_") {
			t.Errorf("%s is not stripped: %s", path, s.Name)
		}
	}
}

// runImage runs the image's binary with the image as its whole world, as its own user.
func runImage(t *testing.T, root, commit string) {
	t.Helper()
	inside := func(args ...string) (string, error) {
		cmd := exec.Command("/stepward", args...)
		cmd.Dir, cmd.Env = "/", []string{}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		if os.Getuid() != 0 { // a user namespace lets one change the root
			cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Cloneflags: syscall.CLONE_NEWUSER,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: 65532, HostID: os.Getuid(), Size: 1}}}
		}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := inside("version")
	if err != nil || !strings.HasPrefix(out, "stepward "+imageVersion+"\ncommit "+commit+", ") {
		t.Errorf("%v %s", err, out)
	}
	issuer := httptest.NewTLSServer(nil)
	defer issuer.Close()
	issuer.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if req.URL.Path == "/keys" {
			io.WriteString(
				w,
				`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
			return
		}
		io.WriteString(w, `{"issuer":"`+issuer.URL+`","jwks_uri":"`+issuer.URL+`/keys"}`)
	})
	config := "issuers: [{ name: corp, issuer: " + issuer.URL +
		", audiences: [api], algorithms: [EdDSA] }]\npolicy: { default: true }\nlevels: [{ name: mfa, acr: [mfa] }, { name: phishing-resistant, acr: [phr] }]\noutbound: { allow: [127.0.0.1] }\n"
	if err := os.WriteFile(filepath.Join(root, "stepward.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := inside("validate", "-c", "stepward.yaml"); err != nil || !strings.Contains(
		out, "stepward.yaml is valid") {
		t.Errorf("%v %s", err, out)
	}
	// The image's roots are what it believes: with them alone an issuer of another CA is
	// refused, and with that CA among them it is not.
	if out, err := inside("validate", "-c", "stepward.yaml", "--online"); err == nil || !strings.Contains(
		out, "unknown authority") {
		t.Errorf("an issuer that no root of the image vouches for: %v %s", err, out)
	}
	bundle := filepath.Join(root, "etc/ssl/certs/ca-certificates.crt")
	checkRoots(t, read(t, bundle))
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw})
	if err := os.WriteFile(bundle, append(read(t, bundle), ca...), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := inside("validate", "-c", "stepward.yaml", "--online"); err != nil {
		t.Errorf("an issuer that a root vouches for: %v %s", err, out)
	}
}

// checkRoots sees that text is certificates of CAs, and as many as browsers believe.
func checkRoots(t *testing.T, text []byte) {
	t.Helper()
	n := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !cert.IsCA {
			t.Errorf("%v %v", err, cert)
		}
		n++
	}
	if n < 100 {
		t.Errorf("only %d roots", n)
	}
}

// pushed brings the layout to a registry, as docs/operations.md says, and asks there for
// each architecture.
func pushed(t *testing.T, folder string, index v1.ImageIndex) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	to := strings.TrimPrefix(server.URL, "http://") + "/team/stepward:" + imageVersion
	run(t, ".", nil, "go", "tool", "crane", "push", folder, to)
	ref, err := name.ParseReference(to)
	if err != nil {
		t.Fatal(err)
	}
	there, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	want, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := there.Digest(); err != nil || got != want {
		t.Errorf("%v: the registry has %s, the layout %s", err, got, want)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		img, err := remote.Image(ref, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
		if err != nil {
			t.Fatal(err)
		}
		if file, err := img.ConfigFile(); err != nil || file.Architecture != arch {
			t.Errorf("%s: %v %+v", arch, err, file)
		}
	}
}

// The layout is the same wherever and whenever it is made, and the archive is it.
func TestLayoutArchive(t *testing.T) {
	r := trial(t)
	if _, err := r.image(); err != nil {
		t.Fatal(err)
	}
	into := t.TempDir()
	run(t, into, nil, "tar", "-xf", filepath.Join(r.out, "stepward-0.1.0-oci.tar"))
	run(t, into, nil, "diff", "-r", into, filepath.Join(r.out, "stepward-0.1.0-oci"))
	if !bytes.Contains(read(t, filepath.Join(into, "oci-layout")), []byte(`"1.0.0"`)) {
		t.Error("no OCI layout")
	}
}
