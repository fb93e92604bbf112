// Package testbundles is a control plane with failure knobs: a real HTTP server that serves
// bundles, and accepts decision logs and status, by OPA's API.
package testbundles

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/bundle"
)

// The ways in which a server can fail, for bundles and for logs.
const (
	Hang     = "hang"     // never answers
	HTML     = "html"     // a foreign page, with status 200
	Loop     = "loop"     // redirects to itself
	Failing  = "failing"  // 500
	Cut      = "cut"      // the connection ends in the middle
	Gone     = "gone"     // 404
	LongPoll = "longpoll" // no failure: answers when there is something new, or when told to
)

// Server is the control plane. Its methods may be called from many goroutines.
type Server struct {
	*httptest.Server

	mu          sync.Mutex
	bundles     map[string][]byte // by name
	changed     chan struct{}     // closed at the next change
	mode, logs  string
	asked       int
	unmodified  int
	events      []map[string]any
	statuses    []map[string]any
	ended       chan struct{}
	lastHeaders http.Header
}

// New starts a server.
func New() *Server {
	s := &Server{bundles: map[string][]byte{}, changed: make(chan struct{}), ended: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bundles/{name}", s.bundle)
	mux.HandleFunc("POST /logs", s.log)
	mux.HandleFunc("POST /status", s.status)
	s.Server = httptest.NewServer(mux)
	return s
}

// Close ends the server, and requests that hang.
func (s *Server) Close() {
	close(s.ended)
	s.Server.CloseClientConnections()
	s.Server.Close()
}

// Put serves b at /bundles/NAME.
func (s *Server) Put(name string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bundles[name] = b
	close(s.changed)
	s.changed = make(chan struct{})
}

// Bundles makes the server fail at bundles in one of the ways above; empty restores it.
func (s *Server) Bundles(mode string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = mode
	close(s.changed)
	s.changed = make(chan struct{})
}

// Logs makes the server fail at decision logs.
func (s *Server) Logs(mode string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs = mode
}

// Counts returns how often a bundle was requested, and how often it was unchanged.
func (s *Server) Counts() (asked, unmodified int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, s.unmodified
}

// Events lists the decisions that were uploaded.
func (s *Server) Events() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// Statuses lists what was reported.
func (s *Server) Statuses() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.statuses)
}

// LogHeaders returns the headers of the last upload of decisions.
func (s *Server) LogHeaders() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastHeaders.Clone()
}

func (s *Server) now(name string) (b []byte, mode string, changed chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bundles[name], s.mode, s.changed
}

func (s *Server) bundle(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	b, mode, changed := s.now(name)
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	if s.fails(w, r, mode) {
		return
	}
	tag := fmt.Sprintf(`"%x"`, sha256.Sum256(b))
	wait := waitOf(r)
	if mode == LongPoll && wait > 0 {
		w.Header().Set("Content-Type", "application/vnd.openpolicyagent.bundles")
		if r.Header.Get("If-None-Match") == tag {
			select {
			case <-changed:
			case <-time.After(wait):
			case <-s.ended:
			case <-r.Context().Done():
			}
			b, _, _ = s.now(name)
			tag = fmt.Sprintf(`"%x"`, sha256.Sum256(b))
		}
	}
	w.Header().Set("ETag", tag)
	switch {
	case b == nil:
		http.NotFound(w, r)
	case r.Header.Get("If-None-Match") == tag:
		s.mu.Lock()
		s.unmodified++
		s.mu.Unlock()
		w.WriteHeader(http.StatusNotModified)
	case mode == Cut:
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		w.Write(b[:len(b)/2])
	default:
		w.Write(b)
	}
}

// fails answers as mode says, if that is the whole answer.
func (s *Server) fails(w http.ResponseWriter, r *http.Request, mode string) bool {
	switch mode {
	case Hang:
		select {
		case <-s.ended:
		case <-r.Context().Done():
		}
	case HTML:
		fmt.Fprint(w, "<html><body>Sign in to continue</body></html>")
	case Loop:
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
	case Failing:
		http.Error(w, "trouble", http.StatusInternalServerError)
	case Gone:
		http.NotFound(w, r)
	default:
		return false
	}
	return true
}

// waitOf returns how long a client is willing to wait, by its Prefer header.
func waitOf(r *http.Request) time.Duration {
	for part := range strings.SplitSeq(r.Header.Get("Prefer"), ";") {
		if seconds, ok := strings.CutPrefix(part, "wait="); ok {
			n, err := strconv.Atoi(seconds)
			if err == nil {
				return time.Duration(n) * time.Second
			}
		}
	}
	return 0
}

func (s *Server) log(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	mode := s.logs
	s.lastHeaders = r.Header.Clone()
	s.mu.Unlock()
	if s.fails(w, r, mode) {
		return
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var events []map[string]any
	if err := json.NewDecoder(z).Decode(&events); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, events...)
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	var x map[string]any
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&x); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statuses = append(s.statuses, x)
}

// Pack makes a bundle of unchanged files, by name.
func Pack(files map[string]string) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	t := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		// a buffer takes everything
		t.WriteHeader(&tar.Header{Name: "/" + name, Mode: 0o600, Size: int64(len(files[name])), Typeflag: tar.TypeReg})
		io.WriteString(t, files[name])
	}
	t.Close()
	z.Close()
	return out.Bytes()
}

// Sign makes a signed bundle of files, with an HMAC key or a PEM key as alg asks for.
func Sign(files map[string]string, key, alg, keyID string) ([]byte, error) {
	b, err := bundle.NewReader(bytes.NewReader(Pack(files))).WithSkipBundleVerification(true).Read()
	if err != nil {
		return nil, fmt.Errorf("testbundles: %w", err)
	}
	if err := b.GenerateSignature(bundle.NewSigningConfig(key, alg, ""), keyID, false); err != nil {
		return nil, fmt.Errorf("testbundles: %w", err)
	}
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).DisableFormat(true).Write(b); err != nil {
		return nil, fmt.Errorf("testbundles: %w", err)
	}
	return out.Bytes(), nil
}
