package playground

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// Serve serves the page at l until ctx ends.
func Serve(ctx context.Context, l net.Listener, o Options) error {
	all, ctx := errgroup.WithContext(ctx)
	server := &http.Server{
		Handler: Handler(o), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, BaseContext: func(net.Listener) context.Context { return ctx },
	}
	all.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	all.Go(func() error {
		<-ctx.Done()
		hurry, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if server.Shutdown(hurry) != nil {
			return server.Close()
		}
		return nil
	})
	return all.Wait()
}
