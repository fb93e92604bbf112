package playground

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
)

//go:embed page
var pages embed.FS

// contentPolicy lets the page run its own script and style and talk to us, and nothing
// more. No text becomes markup: the script cannot even set any.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// Options say what a page shows, and to which browser. All are required except Live.
type Options struct {
	Host      string // where the page is served, host:port as a browser writes it
	Token     string // begins every path
	Workspace Workspace
	// Stage plays scenarios before a policy.
	Stage func(config.Config, *rego.Policy) (*scenario.Stage, error)
	// Live calls each with the decisions of a running service, first the most recent and
	// then new ones, until ctx ends; nil if there is no service to watch.
	Live func(ctx context.Context, each func(explain.Explanation)) error
}

type handler struct {
	Options
	token [sha256.Size]byte
	turns *turns
}

// Handler serves the page below /TOKEN/. Every page in a browser of the machine can send
// requests to a loopback address. So a request is refused unless its Host is o.Host, which
// DNS rebinding would change, it does not come from another origin, and it has the token,
// which only the person who started the command has seen.
func Handler(o Options) http.Handler {
	h := &handler{Options: o, token: sha256.Sum256([]byte(o.Token)), turns: newTurns()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page("index.html"))
	mux.HandleFunc("GET /{name}", func(w http.ResponseWriter, r *http.Request) { page(r.PathValue("name"))(w, r) })
	mux.HandleFunc("GET /api/state", h.state)
	mux.HandleFunc("GET /api/live", h.live)
	mux.HandleFunc("POST /api/open", func(w http.ResponseWriter, r *http.Request) {
		if saved, err := receive(w, r, Parse); err == nil {
			answer(w, saved)
		}
	})
	mux.HandleFunc("POST /api/evaluate", ask(h, "evaluate", h.evaluate))
	mux.HandleFunc("POST /api/matrix", ask(h, "matrix", h.matrix))
	return h.guard(mux)
}

// Listen opens a loopback address, and refuses every other.
func Listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%q is not HOST:PORT: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%q is not a loopback address; the page is for this machine alone", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if at, ok := l.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() { // localhost may be written to mean another
		return nil, errors.Join(fmt.Errorf("%q is not a loopback address", address), l.Close())
	}
	return l, nil
}

// guard refuses callers other than the page on this machine, and removes the token from the
// path.
func (h *handler) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy": contentPolicy, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
			"X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			w.Header().Set(name, value)
		}
		token, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		given := sha256.Sum256([]byte(token))
		switch {
		case r.Host != h.Host:
			refuse(w, http.StatusMisdirectedRequest, "the Host header is not the address of this page")
		case !h.sameOrigin(r):
			refuse(w, http.StatusForbidden, "the request comes from another page")
		case subtle.ConstantTimeCompare(given[:], h.token[:]) != 1:
			refuse(w, http.StatusForbidden,
				"the token is missing or from another process; open the address that the command has printed")
		case path.Clean("/"+rest) != "/"+rest: // the mux would redirect, and lose the token
			refuse(w, http.StatusNotFound, "no such file")
		default:
			inner := r.Clone(r.Context())
			inner.URL.Path, inner.URL.RawPath = "/"+rest, ""
			next.ServeHTTP(w, inner)
		}
	})
}

// sameOrigin reports whether r does not come from another page. A request that changes
// nothing may come without an origin, as the first one does; all others must say that they
// are ours.
func (h *handler) sameOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	for _, o := range origins {
		if o != "http://"+h.Host {
			return false
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return false
	}
	return r.Method == http.MethodGet || len(origins) == 1
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": why}) // a client that is gone needs no answer
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}

// types lists the media types of the page's files. The system's table may differ, and a
// browser that must not guess would then run nothing.
var types = map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

func page(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		text, err := pages.ReadFile(path.Join("page", name))
		if err != nil {
			refuse(w, http.StatusNotFound, "no such file")
			return
		}
		w.Header().Set("Content-Type", types[path.Ext(name)])
		w.Write(text) // a client that is gone needs no answer
	}
}

// state holds what the page starts with.
func (h *handler) state(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"workspace": h.Workspace, "live": h.Live != nil, "clients": scenario.Clients()})
}

// receive reads the body of r, which must be JSON. If it cannot, it answers the request
// itself.
func receive(w http.ResponseWriter, r *http.Request, read func([]byte) (Workspace, error)) (Workspace, error) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, "send application/json")
		return Workspace{}, errors.New("not JSON")
	}
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(questionTimeout)); err != nil &&
		!errors.Is(err, http.ErrNotSupported) {
		refuse(w, http.StatusInternalServerError, "the connection takes no deadline")
		return Workspace{}, err
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxSize))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("larger than %d bytes", MaxSize))
		return Workspace{}, err
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "the request did not arrive as a whole")
		return Workspace{}, err
	}
	saved, err := read(text)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, err.Error())
	}
	return saved, err
}

// ask answers a question about a workspace. A page gets an answer only to its latest
// question.
func ask[T any](h *handler, what string, of func(context.Context, Workspace) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		asked, err := receive(w, r, decode)
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), questionTimeout)
		defer cancel()
		ctx, done, err := h.turns.take(ctx, what+" "+r.Header.Get("X-Page"))
		if err == nil {
			defer done()
			var result T
			if result, err = of(ctx, asked); err == nil {
				answer(w, result)
				return
			}
		}
		switch {
		case errors.Is(context.Cause(ctx), errNewer):
			refuse(w, http.StatusConflict, errNewer.Error())
		case ctx.Err() != nil:
			refuse(w, http.StatusServiceUnavailable, "it took too long, and was given up")
		default:
			refuse(w, http.StatusInternalServerError, err.Error())
		}
	}
}

// live streams decisions, one JSON object per line, until the page or the service is gone.
func (h *handler) live(w http.ResponseWriter, r *http.Request) {
	if h.Live == nil {
		refuse(w, http.StatusNotFound, "no service is watched; see stepward console --web")
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	flush := http.NewResponseController(w)
	send := func(x seen) {
		text, err := line(x)
		if err == nil {
			_, err = w.Write(text)
		}
		if err == nil {
			err = flush.Flush()
		}
		if err != nil {
			cancel()
		}
	}
	if flush.Flush() != nil {
		return
	}
	err := h.Live(ctx, func(e explain.Explanation) { send(seen{Decision: &e, Scenario: ScenarioOf(e)}) })
	switch {
	case r.Context().Err() != nil:
	case err != nil:
		send(seen{End: err.Error()})
	default:
		send(seen{End: "the service has stopped"})
	}
}
