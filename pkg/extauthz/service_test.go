package extauthz

import (
	"context"
	"net"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/stepward/stepward/pkg/authz"
)

// bytesOf is a codec of a client that sends and receives bytes.
type bytesOf struct{}

func (bytesOf) Name() string { return "proto" }

func (bytesOf) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (bytesOf) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// Beside Check a server has other services, and what is around it sees each call. An answer
// arrives as it was written; what is no CheckRequest is an error, and never an allow.
func TestService(t *testing.T) {
	seen := 0
	server := grpc.NewServer(ServerOption(), grpc.UnaryInterceptor(
		func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if _, ok := req.(*authv3.CheckRequest); ok && info.FullMethod == "/"+ServiceName+"/Check" {
				seen++
			}
			return next(ctx, req)
		}))
	Register(server, &Server{Current: func() *authz.Authorizer { return authorizer() }})
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })

	res, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), checkRequest("/", false))
	if err != nil || res.GetDeniedResponse().GetStatus().GetCode() != 401 || seen != 1 {
		t.Errorf("%v, %v; seen %d times", res, err, seen)
	}
	alive, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || alive.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", alive, err)
	}
	for _, sent := range [][]byte{{0xff}, {0x0a, 0x7f}, {0x0a, 0x02, 0x22}} {
		var answer []byte
		err := conn.Invoke(t.Context(), "/"+ServiceName+"/Check", &sent, &answer, grpc.ForceCodecV2(bytesOf{}))
		if status.Code(err) != codes.Internal || len(answer) > 0 {
			t.Errorf("%x is answered with %x, %v", sent, answer, err)
		}
	}
}
