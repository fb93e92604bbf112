package conformance

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/stepward/stepward/envoy"
)

// bytewise is an application that remembers the Authorization lines it got, byte for
// byte: no library would show them.
type bytewise struct {
	net.Listener
	mu    sync.Mutex
	lines []string
	asked bool
}

func newBytewise(t *testing.T) *bytewise {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	b := &bytewise{Listener: l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go b.serve(conn)
		}
	}()
	return b
}

func (b *bytewise) serve(conn net.Conn) {
	defer conn.Close()
	for r := bufio.NewReader(conn); ; {
		var lines []string
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
			if value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\r\n"), "authorization: "); ok {
				lines = append(lines, value)
			}
		}
		b.mu.Lock()
		b.lines, b.asked = lines, true
		b.mu.Unlock()
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
	}
}

// take returns what came since the last call.
func (b *bytewise) take() (lines []string, asked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines, asked = b.lines, b.asked
	b.lines, b.asked = nil, false
	return lines, asked
}

// overHTTP1 sends a header line byte for byte; the answer is the status, or empty where
// the connection ended.
func overHTTP1(t *testing.T, address, authorization string) string {
	t.Helper()
	conn := dial(t, address)
	defer conn.Close()
	fmt.Fprintf(conn, "GET /public HTTP/1.1\r\nhost: app.example.com\r\nconnection: close\r\nauthorization: %s\r\n\r\n",
		authorization)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.Fields(line)[1]
}

// overHTTP2 does the same in a frame of HTTP/2.
func overHTTP2(t *testing.T, address, authorization string) string {
	t.Helper()
	conn := dial(t, address)
	defer conn.Close()
	fmt.Fprint(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	framer.WriteSettings() // an error shows at the read below
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "app.example.com"},
		{":path", "/public"}, {"authorization", authorization}} {
		encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true,
		EndHeaders: true})
	for decoder := hpack.NewDecoder(4096, nil); ; {
		frame, err := framer.ReadFrame()
		if err != nil {
			return ""
		}
		switch f := frame.(type) {
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return ""
		case *http2.HeadersFrame:
			fields, err := decoder.DecodeFull(f.HeaderBlockFragment())
			if err != nil || len(fields) == 0 {
				t.Fatalf("headers: %v", err)
			}
			return fields[0].Value
		}
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(time.Minute)) // clock: the bound of one that hangs
	return conn
}

// lookalikes returns values that some application reads as "Bearer x".
func lookalikes() []string {
	values := []string{"Bearer", "Bearer ", " ", "Bearer, x", `"Bearer x"`, "Bearer\u2003x", "\ufeffBearer x",
		"Bearer\u200bx", "\u200bBearer x", "Be\u00adarer x", "Ｂearer x", "Bearer=x", "Bearer:x", "Bearer x,",
		"\t Bearer x\t", "Bearer \u00a0x", "Basic x, Bearer x", "Basic \xa0x"}
	for _, c := range []byte{'\t', ' ', 0x0b, 0x0c, 0x1c, 0x1f, 0x7f, 0x80, 0x85, 0xa0, 0xad, 0xff, '!', ';', '\''} {
		s := string([]byte{c})
		values = append(values, s+"Bearer x", "Bearer"+s+"x", "Bearer"+s+" x", "Bearer x"+s, "bearer "+s+"x",
			"DPoP"+s+"x", "B"+s+"earer x")
	}
	return values
}

// otherScheme is what may pass: a scheme that is not ours, spaces, and visible ASCII.
var otherScheme = regexp.MustCompile(`^[#$%&'*+.^_|~0-9A-Za-z-]+ +[\x20-\x7e]*[\x21-\x7e]$`)

// A public route requires nothing, so a header that we read as another scheme goes to the
// application. Through the hardened Envoy, over both versions of HTTP and in both of its
// header encodings, nothing does that an application could read as our scheme; and the same
// bytes are answered the same in both encodings.
func TestNothingThatLooksLikeOursPasses(t *testing.T) {
	path, err := envoy.Get(t.Context(), "", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRig(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	service, err := r.serve(t.Context(), "base", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(service.stop)
	app := newBytewise(t)
	answers := map[string]string{} // by version of HTTP and value, of the first encoding
	for _, raw := range []bool{true, false} {
		address := hardened(t.Context(), t, path, service.server.Addr().String(), app.Addr().String(), raw)
		for version, send := range map[string]func(*testing.T, string, string) string{"HTTP/1.1": overHTTP1,
			"HTTP/2": overHTTP2} {
			if got := send(t, address, "Basic dTpw"); got != "200" {
				t.Fatalf("%s: another scheme is answered %q", version, got)
			}
			app.take()
			for _, value := range lookalikes() {
				got := send(t, address, value)
				lines, asked := app.take()
				for _, line := range lines {
					scheme, _, _ := strings.Cut(line, " ")
					if alone := strings.EqualFold(line, "bearer") || line == ""; !alone &&
						(!otherScheme.MatchString(line) || strings.EqualFold(scheme, "bearer") || strings.EqualFold(
							scheme, "dpop")) {
						t.Errorf("%s, raw %t: %q reaches the application as %q", version, raw, value, line)
					}
				}
				if !asked && got != "400" && got != "" {
					t.Errorf("%s, raw %t: %q is answered %s", version, raw, value, got)
				}
				if was, seen := answers[version+value]; seen && was != got {
					t.Errorf("%s: %q is answered %q as raw bytes, and %q as a map", version, value, was, got)
				}
				answers[version+value] = got
			}
		}
	}
}

// hardened starts the shipped Envoy with one of its header encodings.
func hardened(ctx context.Context, t *testing.T, path, service, app string, raw bool) string {
	t.Helper()
	text, err := envoy.Render(envoy.Params{Ingress: "127.0.0.1:0", Apps: []string{app}, Stepwards: []string{service},
		CheckTimeout: checkTimeout})
	if err != nil {
		t.Fatal(err)
	}
	if !raw {
		text = bytes.Replace(text, []byte("encode_raw_headers: true"), []byte("encode_raw_headers: false"), 1)
	}
	p, err := envoy.Start(ctx, path, text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	if err := p.WaitHealthy(ctx, 1); err != nil {
		t.Fatal(err)
	}
	return p.Ingress
}
