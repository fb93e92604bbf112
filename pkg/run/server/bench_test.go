package server_test

import (
	"context"
	"net"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/extauthz"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/run/server"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// noop is the least that a Check server can do.
type noop struct {
	authv3.UnimplementedAuthorizationServer
}

func (noop) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{Status: &status.Status{}}, nil
}

// BenchmarkCheck measures a decision in process and over gRPC, beside a no-op
// server in the same run: compare the ratios, not the times.
func BenchmarkCheck(b *testing.B) {
	idp, err := testidp.Start(testidp.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer idp.Close()
	r := run(b, settings(b, idp, ""), server.Options{})
	eventually(b, "ready", r.Ready)
	made, err := snapshot.New(b.Context(), settings(b, idp, ""), snapshot.Options{Observe: snapshot.Unobserved})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); made.Run(ctx) }()
	defer func() { cancel(); <-done }()
	eventually(b, "keys", func() bool { return len(made.Waiting()) == 0 })
	inProcess := &extauthz.Server{Current: func() *authz.Authorizer { return made.Authorizer }}

	requests := map[string]*authv3.CheckRequest{}
	for name, v := range map[string]struct{ path, key, acr string }{
		"allow-RS256": {"/orders/1", "rs", "loa:2"}, "allow-ES256": {"/orders/1", "es", "loa:2"},
		"challenge": {"/admin/users", "es", "loa:1"}, "anonymous": {"/", "", ""},
	} {
		headers := map[string]string{":authority": "app.example.com", ":path": v.path, ":method": "GET",
			"user-agent": "bench", "accept": "*/*", "x-request-id": "1"}
		if v.key != "" {
			token, err := idp.Mint(testidp.Token{Key: v.key, Claims: map[string]any{"acr": v.acr}})
			if err != nil {
				b.Fatal(err)
			}
			headers["authorization"] = "Bearer " + token
		}
		requests[name] = &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Request: &authv3.AttributeContext_Request{
				Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: v.path, Host: "app.example.com",
					Scheme: "https", Headers: headers},
			}}}
	}
	names := []string{"anonymous", "allow-ES256", "allow-RS256", "challenge"}
	for _, name := range names {
		b.Run("in-process/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				res, err := inProcess.Check(b.Context(), requests[name])
				if err != nil || (res.GetStatus().GetCode() == 0) != (name != "challenge") {
					b.Fatalf("%v, %v", res, err)
				}
			}
		})
	}
	baseline := noopClient(b)
	b.Run("grpc/noop", func(b *testing.B) { check(b, baseline, requests["allow-RS256"]) })
	for _, name := range names {
		b.Run("grpc/"+name, func(b *testing.B) { check(b, r.auth, requests[name]) })
	}
}

func check(b *testing.B, client authv3.AuthorizationClient, req *authv3.CheckRequest) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := client.Check(b.Context(), req); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func noopClient(b *testing.B) authv3.AuthorizationClient {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := grpc.NewServer()
	authv3.RegisterAuthorizationServer(s, noop{})
	go s.Serve(listener)
	b.Cleanup(s.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return authv3.NewAuthorizationClient(conn)
}
