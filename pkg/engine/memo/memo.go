// Package memo remembers what a policy said about requests that its rules cannot tell
// apart.
//
// A policy result holds no time, and depends only on the rules, their data and the parts of
// the input that the rules look at. So it is the same for all requests that agree in those
// parts. An engine lists them as [Feature] values when it loads a policy. If a rule
// compares a segment of the path with a constant, the feature is whether they are equal,
// and not the segment itself. Requests whose paths differ only in an id then share a line.
//
// A feature missing from the list would cause a wrong answer. An engine must list
// everything that it cannot rule out, and give a policy no memo if it does not know.
//
//	memo.go     the lines, and how many there may be
//	feature.go  the features, and how each is written into a key
//	member.go   where a member of the input is found in a request
//	route.go    route tables as data
package memo

import (
	"encoding/binary"
	"sync"

	"github.com/stepward/stepward/pkg/policy"
)

// longestKey bounds one key, in bytes. A request with a longer one is not remembered.
const longestKey = 2 << 10

// Memo holds results by key, in two generations. When the young one is full it becomes the
// old one, and the old one is forgotten. Using a line moves it to the young one. Its
// methods may be called from many goroutines.
type Memo struct {
	features []Feature
	size     int

	mu         sync.RWMutex
	young, old map[string]policy.Result
}

// New returns an empty memo of requests that are told apart by features. Each generation
// holds size results. For a size of 0 it returns nil.
func New(features []Feature, size int) *Memo {
	if size == 0 {
		return nil
	}
	return &Memo{features: features, size: size, young: map[string]policy.Result{}}
}

// Key appends the key of in to dst, and reports whether its result may be remembered.
// Inputs with the same key have the same result. The key begins with the names of the route
// packages that take part.
func (m *Memo) Key(dst []byte, in *policy.Input) (key []byte, ok bool) {
	dst = binary.AppendUvarint(dst, uint64(len(in.Routes)))
	for _, name := range in.Routes {
		dst = appendText(dst, name)
	}
	for _, f := range m.features {
		if dst, ok = f.append(dst, in); !ok || len(dst) > longestKey {
			return dst, false
		}
	}
	return dst, true
}

// Find returns the result remembered under key. The caller must not change it.
func (m *Memo) Find(key []byte) (policy.Result, bool) {
	m.mu.RLock()
	r, young := m.young[string(key)]
	if young {
		m.mu.RUnlock()
		return r, true
	}
	r, there := m.old[string(key)]
	m.mu.RUnlock()
	if there {
		m.Keep(key, r)
	}
	return r, there
}

// Keep remembers r under key. Nobody may change r afterwards.
func (m *Memo) Keep(key []byte, r policy.Result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.young) >= m.size {
		m.young, m.old = map[string]policy.Result{}, m.young
	}
	m.young[string(key)] = r
}

// Len returns how many results are remembered.
func (m *Memo) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.young) + len(m.old)
}
