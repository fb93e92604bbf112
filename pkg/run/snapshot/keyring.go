package snapshot

import (
	"context"

	"github.com/stepward/stepward/pkg/trust/keyset"
)

// Keyring runs the fetching of keys across reloads: fetching for shared keys goes on, and
// fetching for unused keys ends. One goroutine calls its methods.
type Keyring struct {
	ctx     context.Context
	running map[*keyset.Remote]func() // cancels and waits
}

// NewKeyring makes a keyring whose keys are fetched until ctx ends.
func NewKeyring(ctx context.Context) *Keyring {
	return &Keyring{ctx: ctx, running: map[*keyset.Remote]func(){}}
}

// Start begins to fetch keys that are not being fetched yet.
func (k *Keyring) Start(keys []Keys) {
	for _, x := range keys {
		if x.remote == nil || k.running[x.remote] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(k.ctx)
		done := make(chan struct{})
		go func() { defer close(done); x.remote.Run(ctx) }()
		k.running[x.remote] = func() { cancel(); <-done }
	}
}

// Retain stops fetching keys that none of the snapshots has. A snapshot may be nil.
func (k *Keyring) Retain(snapshots ...*Snapshot) {
	kept := map[*keyset.Remote]bool{}
	for _, s := range snapshots {
		if s == nil {
			continue
		}
		for _, x := range s.Keys {
			kept[x.remote] = true
		}
	}
	for remote, stop := range k.running {
		if !kept[remote] {
			stop()
			delete(k.running, remote)
		}
	}
}
