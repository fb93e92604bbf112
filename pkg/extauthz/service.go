package extauthz

import (
	"context"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that ours falls back to
	"google.golang.org/grpc/mem"
)

// ServiceName is the name under which Envoy's health checks ask for the server.
const ServiceName = "envoy.service.auth.v3.Authorization"

// Register adds s to a gRPC server that was made with [ServerOption].
func Register(registrar grpc.ServiceRegistrar, s *Server) {
	registrar.RegisterService(&grpc.ServiceDesc{
		ServiceName: ServiceName, HandlerType: (*authv3.AuthorizationServer)(nil),
		Methods:  []grpc.MethodDesc{{MethodName: "Check", Handler: check}},
		Metadata: authv3.Authorization_ServiceDesc.Metadata,
	}, s)
}

// check is the method as gRPC calls it.
func check(srv any, ctx context.Context, read func(any) error, around grpc.UnaryServerInterceptor) (any, error) {
	req := new(authv3.CheckRequest)
	if err := read(req); err != nil {
		return nil, err
	}
	s := srv.(*Server)
	if around == nil {
		return &answer{s.answer(ctx, req)}, nil
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: authv3.Authorization_Check_FullMethodName}
	return around(ctx, req, info, func(ctx context.Context, req any) (any, error) {
		return &answer{s.answer(ctx, req.(*authv3.CheckRequest))}, nil
	})
}

// answer is a CheckResponse on the wire.
type answer struct{ bytes []byte }

// codec is that of protobuf, except that an answer is written already.
type codec struct{ encoding.CodecV2 }

// ServerOption returns the codec that a server of [Register] needs. Without it every call
// would end in a gRPC error.
func ServerOption() grpc.ServerOption {
	return grpc.ForceServerCodecV2(codec{encoding.GetCodecV2("proto")})
}

// Marshal implements [encoding.CodecV2].
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if a, ok := v.(*answer); ok {
		return mem.BufferSlice{mem.SliceBuffer(a.bytes)}, nil
	}
	return c.CodecV2.Marshal(v)
}
