//go:build linux

package main

import (
	"bytes"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

	"github.com/stepward/stepward/pkg/internal/testidp"
)

// mint makes n tokens that show the lowest level and live for an hour, on all cores.
func mint(idp *testidp.IDP, key string, n int) ([]string, error) {
	tokens, errs := make([]string, n), make([]error, runtime.NumCPU())
	var next atomic.Int64
	var all sync.WaitGroup
	for worker := range errs {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || errs[worker] != nil {
					return
				}
				tokens[i], errs[worker] = idp.Mint(testidp.Token{Key: key, Claims: map[string]any{
					"exp": time.Now().Add(time.Hour).Unix(), "acr": "urn:example:loa:1",
				}})
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// number and secret mark where a number and a token go in encoded requests.
const number = "0123456789"

// shape is a request without its number and token.
type shape struct {
	method, path string
	token        []string // one of them for each request; none for nobody
	browser      bool
	more         bool // headers that a browser behind two proxies sends
}

// encode returns the request with places for the number and a token.
func (s shape) encode(secret string) ([]byte, error) {
	headers := map[string]string{
		":authority": "app.example.com", ":path": s.path, ":method": s.method, ":scheme": "https",
		"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)", "accept": "application/json",
		"x-request-id": "5f1c2a9e-9d55-4f0c-8a54-0d6b6d7d8f01", "x-forwarded-proto": "https",
	}
	if secret != "" {
		headers["authorization"] = "Bearer " + secret
	}
	if s.browser {
		maps.Copy(headers, map[string]string{"accept": "text/html", "sec-fetch-mode": "navigate",
			"sec-fetch-dest": "document", "sec-fetch-site": "none"})
	}
	if s.more {
		for i := range 12 {
			headers[fmt.Sprintf("x-more-%d", i)] = strings.Repeat("v", 40)
		}
		headers["cookie"] = "app=" + strings.Repeat("c", 2044)
	}
	return proto.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Id: "1", Method: s.method, Path: s.path, Host: "app.example.com", Scheme: "https", Protocol: "HTTP/2",
			Size: -1, Headers: headers,
		}},
	}})
}

// template is an encoded request and the places in it that change.
type template struct {
	bytes          []byte
	numbers, token []int
}

func newTemplate(s shape, length int) (template, error) {
	secret := strings.Repeat("\x01", length)
	b, err := s.encode(secret)
	return template{b, places(b, number), places(b, secret)}, err
}

func places(b []byte, what string) []int {
	var all []int
	for at := 0; what != ""; {
		i := bytes.Index(b[at:], []byte(what))
		if i < 0 {
			break
		}
		all = append(all, at+i)
		at += i + len(what)
	}
	return all
}

// fill returns request number n with a token.
func (t template) fill(n int64, token string) []byte {
	b := slices.Clone(t.bytes)
	for _, at := range t.numbers {
		for i, left := len(number)-1, n; i >= 0; i, left = i-1, left/10 {
			b[at+i] = byte('0' + left%10)
		}
	}
	for _, at := range t.token {
		copy(b[at:], token)
	}
	return b
}

// repeated makes an endless series of requests with known tokens, each with its own number.
func repeated(s shape) func(int) (func() []byte, error) {
	var n atomic.Int64
	return func(int) (func() []byte, error) {
		tokens := s.token
		if len(tokens) == 0 {
			tokens = []string{""}
		}
		var templates []template
		for _, token := range tokens {
			t, err := newTemplate(s, len(token))
			if err != nil {
				return nil, err
			}
			templates = append(templates, t)
		}
		return func() []byte {
			i := n.Add(1)
			k := int(i) % len(tokens)
			return templates[k].fill(i, tokens[k])
		}, nil
	}
}

// fresh makes requests with tokens that nobody has seen, and ends after coldCalls.
func fresh(idp *testidp.IDP, key string, o options, s shape) func(int) (func() []byte, error) {
	return func(int) (func() []byte, error) {
		tokens, err := mint(idp, key, coldCalls)
		if err != nil {
			return nil, err
		}
		t, err := newTemplate(s, len(tokens[0]))
		if err != nil {
			return nil, err
		}
		var n atomic.Int64
		return func() []byte {
			i := n.Add(1)
			if int(i) > len(tokens) {
				return nil
			}
			return t.fill(i, tokens[i-1])
		}, nil
	}
}
