package server_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/run/server"
)

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// frame makes one HTTP/2 frame (RFC 9113 §4.1).
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	b := make([]byte, 9, 9+len(payload))
	b[0], b[1], b[2] = byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload))
	b[3], b[4] = kind, flags
	binary.BigEndian.PutUint32(b[5:], stream)
	return append(b, payload...)
}

// Peers that speak HTTP/2 badly, slowly or not at all cost the good ones nothing.
func TestHostilePeers(t *testing.T) {
	idp, err := testidp.Start(testidp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	r := run(t, settings(t, idp, ""), server.Options{})
	eventually(t, "ready", r.Ready)
	token, err := idp.Mint(testidp.Token{Claims: map[string]any{"acr": "phr"}})
	if err != nil {
		t.Fatal(err)
	}
	junk := make([]byte, 64<<10)
	rand.Read(junk)
	settings, ack := frame(4, 0, 0, nil), frame(4, 1, 0, nil)
	start := append([]byte(preface), settings...)
	repeat := func(b []byte, n int) []byte { return append(bytes.Clone(start), bytes.Repeat(b, n)...) }
	reset := func(n int) []byte { // HEADERS and RST_STREAM, over and over
		out := bytes.Clone(start)
		for i := range n {
			id := uint32(2*i + 1)
			out = append(out, frame(1, 4, id, []byte{0x83, 0x86, 0x84, 0x41, 0x01, 'a'})...)
			out = append(out, frame(3, 0, id, []byte{0, 0, 0, 8})...)
		}
		return out
	}
	attacks := map[string][]byte{
		"nothing":                nil,
		"half a preface":         []byte(preface[:10]),
		"HTTP/1.1":               []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		"TLS":                    {0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3},
		"junk":                   junk,
		"junk after the preface": append([]byte(preface), junk...),
		"PING flood":             repeat(frame(6, 0, 0, make([]byte, 8)), 20_000),
		"SETTINGS flood":         repeat(settings, 20_000),
		"SETTINGS ACK flood":     repeat(ack, 20_000),
		"rapid reset":            reset(5_000),
		"CONTINUATION without end": append(append(bytes.Clone(start), frame(1, 0, 1, []byte{0x83})...),
			bytes.Repeat(frame(9, 0, 1, bytes.Repeat([]byte{0, 1, 'a', 1, 'b'}, 1000)), 500)...),
		"a window of zero": append(
			append(bytes.Clone([]byte(preface)), frame(4, 0, 0, []byte{0, 4, 0, 0, 0, 0})...),
			frame(1, 4, 1, []byte{0x83, 0x86})...),
		"WINDOW_UPDATE overflow": repeat(frame(8, 0, 0, []byte{0x7f, 0xff, 0xff, 0xff}), 10),
		"a frame of 16 MiB":      append(bytes.Clone(start), 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1),
		"a stream of an even id": append(bytes.Clone(start), frame(1, 5, 2, []byte{0x83})...),
		"PRIORITY of itself":     repeat(frame(2, 0, 1, []byte{0, 0, 0, 1, 1}), 100),
		"GOAWAY and on": append(append(bytes.Clone(start), frame(7, 0, 0, make([]byte, 8))...),
			frame(6, 0, 0, make([]byte, 8))...),
		"a DATA frame of no stream": append(bytes.Clone(start), frame(0, 0, 5, []byte("x"))...),
	}
	before := runtime.NumGoroutine()
	var peers, connected sync.WaitGroup
	served := make(chan struct{})
	release := sync.OnceFunc(func() { close(served) })
	defer release()
	connected.Add(5 * len(attacks))
	for name, bytes := range attacks {
		for range 5 {
			peers.Go(func() {
				conn, err := net.Dial("tcp", r.Addr().String())
				connected.Done()
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(wait.Bound))
				go io.Copy(io.Discard, conn)
				conn.Write(bytes) // it may well be cut off
				<-served
			})
		}
	}
	connected.Wait()
	for range 200 {
		if res := r.check(t, "/admin/x", map[string]string{
			"authorization": "Bearer " + token}); res.GetOkResponse() == nil {
			t.Fatalf("beside hostile peers: %v", res)
		}
		if res := r.check(t, "/admin/x", nil); res.GetDeniedResponse().GetStatus().GetCode() != 401 {
			t.Fatalf("beside hostile peers: %v", res)
		}
	}
	release()
	peers.Wait()
	eventually(t, "the peers' goroutines end", func() bool { return runtime.NumGoroutine() <= before+5 })
}

// Calls leave nothing behind: goroutines and memory are the same after many as after
// some. `make soak` makes it a million.
func TestNothingGrows(t *testing.T) {
	calls := soak(20_000)
	if testing.Short() {
		calls = 4_000
	}
	idp, err := testidp.Start(testidp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	r := run(t, settings(t, idp, ""), server.Options{})
	eventually(t, "ready", r.Ready)
	good, err := idp.Mint(testidp.Token{Claims: map[string]any{"acr": "phr"}})
	if err != nil {
		t.Fatal(err)
	}
	requests := []map[string]string{nil, {"authorization": "Bearer " + good}, {"authorization": "Bearer x.y.z"},
		{"authorization": "Bearer " + strings.Repeat("a", 20_000)}, {"accept": "text/html"}}
	measure := func(n int) (goroutines int, heap uint64) {
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for i := range n / 4 {
					if _, err := r.auth.Check(t.Context(), get([]string{"/", "/admin/x", "/a/../b"}[i%3],
						requests[i%len(requests)])); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		clients.Wait()
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return runtime.NumGoroutine(), m.HeapAlloc
	}
	goroutines, heap := measure(calls / 10)
	after, grown := measure(calls)
	t.Logf("%d calls: goroutines %d → %d, heap %d KiB → %d KiB", calls, goroutines, after, heap>>10, grown>>10)
	if after > goroutines+5 {
		t.Errorf("goroutines grow from %d to %d", goroutines, after)
	}
	if grown > heap+heap/4+(4<<20) {
		t.Errorf("the heap grows from %d to %d bytes", heap, grown)
	}
}
