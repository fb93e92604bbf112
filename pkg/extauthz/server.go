package extauthz

import (
	"context"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
)

// Server answers Envoy's Check calls. It serves many goroutines.
type Server struct {
	authv3.UnimplementedAuthorizationServer

	// Current returns the snapshot that decides, or nil while there is none; then every
	// request is refused. It is called once for each Check.
	Current func() *authz.Authorizer
	// OnPanic, if set, is told about a panic outside the stages, which is a fault of this
	// package.
	OnPanic func(any)
}

// Register adds s to a gRPC server.
func Register(registrar grpc.ServiceRegistrar, s *Server) {
	authv3.RegisterAuthorizationServer(registrar, s)
}

// ServiceName is the name under which Envoy's health checks ask for the server.
const ServiceName = "envoy.service.auth.v3.Authorization"

// Check decides a request. The error is always nil: to Envoy a gRPC error means "could not
// ask", and a filter that fails open would let the request through.
func (s *Server) Check(ctx context.Context, req *authv3.CheckRequest) (res *authv3.CheckResponse, err error) {
	defer func() {
		if p := recover(); p != nil {
			if s.OnPanic != nil {
				s.OnPanic(p)
			}
			res, err = encode(refusal(stepup.Internal)), nil
		}
	}()
	a := s.Current()
	if a == nil {
		return encode(refusal(stepup.NotReady)), nil
	}
	answer := a.Authorize(ctx, decode(req)).Response
	if ctx.Err() != nil { // Envoy may still honour an answer after its time is up
		answer = refusal(stepup.Deadline)
	}
	return encode(answer), nil
}

// refusal returns the answer if there is no snapshot to word one.
func refusal(why stepup.Reason) response.Response {
	return response.Response{
		Status: why.Status(),
		Headers: []request.Field{
			{Name: "cache-control", Value: "no-store"},
			{Name: "content-type", Value: "text/plain; charset=utf-8"},
			{Name: "retry-after", Value: "1"},
		},
		Body:     "temporarily unavailable: " + string(why),
		Metadata: map[string]any{"result": string(stepup.ResultError), "reason": string(why)},
	}
}
