package testidp

import (
	"bytes"
	"compress/zlib"
	"maps"
	"net/http"
	"strings"
)

// ClientSecret is the secret of the client "gateway", which may introspect.
const ClientSecret = "s:ecret/ %"

// Opaque makes up an opaque access token. Introspection answers with the claims of a good
// one, modified by changes; nil values are left out.
func (p *IDP) Opaque(prefix string, changes map[string]any) string {
	raw := prefix + b64(random(16))
	p.Introspects(raw, merged(merged(p.claims(), map[string]any{"active": true, "token_type": "Bearer"}), changes))
	return raw
}

// Introspects sets what introspection answers about a token; nil makes it unknown.
func (p *IDP) Introspects(raw string, answer map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opaque[raw] = maps.Clone(answer)
}

// Authenticate replaces the way in which introspection authenticates its client, which is
// Basic by default.
func (p *IDP) Authenticate(known func(*http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.knows = known
}

func basic(r *http.Request) bool {
	id, secret, _ := r.BasicAuth()
	return id == "gateway" && secret == "s%3Aecret%2F+%25"
}

// introspect answers by RFC 7662 §2.1, or by RFC 9701 if the request asks for that.
func (p *IDP) introspect(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	known, answer := p.knows, p.opaque[r.PostFormValue("token")]
	p.mu.Unlock()
	if r.Method != http.MethodPost || !known(r) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if answer == nil {
		answer = map[string]any{"active": false}
	}
	if !strings.Contains(r.Header.Get("Accept"), "token-introspection+jwt") {
		writeJSON(w, answer)
		return
	}
	signed, err := p.Mint(Token{Header: map[string]any{"typ": "token-introspection+jwt"},
		Payload: encode(map[string]any{
			"iss": p.URL, "aud": "gateway", "iat": p.now().Unix(), "token_introspection": answer,
		})})
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/token-introspection+jwt")
	w.Write([]byte(signed))
}

// StatusList publishes a status list at a path: one bit for each token, set if it is
// revoked. changes modifies the claims of the list.
func (p *IDP) StatusList(path string, size int, revoked []int, changes map[string]any) (uri string, err error) {
	data := make([]byte, (size+7)/8)
	for _, n := range revoked {
		data[n/8] |= 1 << (n % 8)
	}
	signed, err := p.Mint(Token{Header: map[string]any{"typ": "statuslist+jwt"}, Payload: encode(merged(map[string]any{
		"sub": p.Address() + path, "iat": p.now().Unix(), "exp": p.now().Unix() + 3600, "ttl": 10,
		"status_list": map[string]any{"bits": 1, "lst": Deflate(data)},
	}, changes))})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lists[path] = signed
	return p.Address() + path, err
}

// Deflate compresses data as for a status list, in base64url.
func Deflate(data []byte) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	z.Write(data) // into memory, as is the next
	z.Close()
	return b64(b.Bytes())
}

func (p *IDP) statusList(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	signed, there := p.lists[r.URL.Path]
	p.mu.Unlock()
	if !there {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/statuslist+jwt")
	w.Write([]byte(signed))
}
