//go:build linux

package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// raw is a codec that leaves bytes unchanged, so that the client costs little compared with
// the servers.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// client drives one server.
type client struct {
	connections []*grpc.ClientConn
	inFlight    int
}

func dial(address string, o options) (*client, error) {
	c := &client{inFlight: o.inFlight}
	for range o.connections {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
		if err != nil {
			return nil, err
		}
		c.connections = append(c.connections, conn)
	}
	return c, nil
}

func (c *client) close() {
	for _, conn := range c.connections {
		conn.Close()
	}
}

// ask makes one call and returns the answer's bytes.
func ask(ctx context.Context, conn *grpc.ClientConn, request []byte) ([]byte, error) {
	var answer []byte
	err := conn.Invoke(ctx, "/envoy.service.auth.v3.Authorization/Check", &request, &answer)
	return answer, err
}

// drive keeps the server busy for d, or until source has nothing more, and counts the
// answers. An unexpected answer ends it: a fast but wrong server is not measured.
func (c *client) drive(ctx context.Context, d time.Duration, source func() []byte, expect expectation) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var answered atomic.Int64
	var all sync.WaitGroup
	until := time.Now().Add(d)
	for _, conn := range c.connections {
		for range c.inFlight {
			all.Go(func() {
				for time.Now().Before(until) && ctx.Err() == nil {
					request := source()
					if request == nil {
						return
					}
					answer, err := ask(ctx, conn, request)
					if err == nil {
						err = expect.met(answer)
					}
					if err != nil {
						cancel(err)
						return
					}
					answered.Add(1)
				}
			})
		}
	}
	all.Wait()
	return answered.Load(), context.Cause(ctx)
}

// expectation describes the answer that must come back: 200 stands for an allow.
type expectation struct {
	status int
	reason string
}

// met compares a few bytes of every answer, and the whole reason of a refusal.
func (e expectation) met(answer []byte) error {
	allowed := len(answer) >= 2 && answer[0] == 0x0a && answer[1] == 0 // status: {}, which is OK
	if allowed == (e.status == 200) && (allowed || len(answer) > 0) {
		return nil
	}
	return e.whole(answer)
}

// whole decodes an answer and compares status and reason.
func (e expectation) whole(answer []byte) error {
	var r authv3.CheckResponse
	if err := proto.Unmarshal(answer, &r); err != nil {
		return err
	}
	status := 200
	if r.GetStatus().GetCode() != 0 {
		status = int(r.GetDeniedResponse().GetStatus().GetCode())
	}
	reason := r.GetDynamicMetadata().GetFields()["reason"].GetStringValue()
	if status != e.status || reason != e.reason {
		return fmt.Errorf("answered %d %s; expected %d %s", status, reason, e.status, e.reason)
	}
	return nil
}
