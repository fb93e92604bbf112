package extauthz

import (
	"context"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

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

// Check decides a request, for callers in this process. Over gRPC the same answer is sent as
// the bytes that it is made as.
func (s *Server) Check(ctx context.Context, req *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	res := new(authv3.CheckResponse)
	return res, proto.Unmarshal(s.answer(ctx, req), res)
}

// answer decides a request and returns the bytes of the CheckResponse. There always is one,
// and never a gRPC error: Envoy takes an error for "could not ask", and a filter that fails
// open would let the request through.
func (s *Server) answer(ctx context.Context, req *authv3.CheckRequest) (b []byte) {
	defer func() {
		if p := recover(); p != nil {
			if s.OnPanic != nil {
				s.OnPanic(p)
			}
			b = encode(refusal(stepup.Internal))
		}
	}()
	a := s.Current()
	if a == nil {
		return encode(refusal(stepup.NotReady))
	}
	decided := a.Authorize(ctx, decode(req)).Response
	if ctx.Err() != nil { // Envoy may still honour an answer after its time is up
		decided = refusal(stepup.Deadline)
	}
	return encode(decided)
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
