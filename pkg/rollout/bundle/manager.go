package bundle

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/config"
	"github.com/open-policy-agent/opa/v1/hooks"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/plugins/bundle"
	"github.com/open-policy-agent/opa/v1/plugins/discovery"
	"github.com/open-policy-agent/opa/v1/plugins/logs"
	"github.com/open-policy-agent/opa/v1/plugins/status"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
)

// Options say how to run the plugins. OnChange is required.
type Options struct {
	// Library holds the modules that bundles may import without containing them.
	Library []rego.Source
	// OnChange accepts the content of all bundles together, or refuses it with an error.
	// One goroutine at a time calls it, before OPA itself accepts the content.
	OnChange func(context.Context, Set) error
	// OnLog receives the plugins' log lines; nil drops them.
	OnLog func(Line)
	// OnDrop is called for each decision that is not logged; nil counts none.
	OnDrop func()
	// Registerer receives the plugins' metrics; nil drops them.
	Registerer prometheus.Registerer
	// HeaderPrefix begins the names of our identity headers, which are not logged as input.
	HeaderPrefix string
	Rand         io.Reader // nil means crypto/rand
	// Flush is how long waiting decisions may take when the plugins stop; 0 means 5 s.
	Flush time.Duration
}

// Manager runs the plugins. Make it with [New] and run it once; its other methods may be
// called from many goroutines.
type Manager struct {
	settings Settings
	options  Options
	opa      *plugins.Manager
	gate     *gate
	hook     *discovered
	queue    chan logged
	waiting  atomic.Int64 // bytes in it, about

	listening *bundle.Plugin // tells us about bundles; only Run uses it

	mu     sync.Mutex
	status map[string]Status

	done atomic.Bool // no more decisions are accepted
}

// Status describes the state of a bundle.
type Status struct {
	Name      string    `json:"name"`
	Revision  string    `json:"revision,omitempty"`
	Activated time.Time `json:"activated_at,omitzero"` // when it last took effect
	// Confirmed is when its server last said what it should be, even if only that it is
	// unchanged, and we accepted that.
	Confirmed time.Time `json:"confirmed_at,omitzero"`
	Asked     time.Time `json:"asked_at,omitzero"` // when its server was last asked
	Error     string    `json:"error,omitempty"`   // of the last attempt
}

// New makes a manager of settings. It opens no connection. An error means that OPA does not
// accept the settings.
func New(s Settings, o Options) (*Manager, error) {
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.OnLog == nil {
		o.OnLog = func(Line) {}
	}
	if o.OnDrop == nil {
		o.OnDrop = func() {}
	}
	if o.Flush == 0 {
		o.Flush = 5 * time.Second
	}
	id, err := newID(o.Rand)
	if err != nil {
		return nil, err
	}
	m := &Manager{settings: s, options: o, queue: make(chan logged, queueLength), status: map[string]Status{}}
	m.gate = newGate(o.OnChange, m.names)
	m.hook = &discovered{settings: s, id: id, tell: o.OnLog}
	if err := m.gate.supply(context.Background(), o.Library); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	log := logger{tell: o.OnLog}
	m.opa, err = plugins.New(s.raw, id, m.gate,
		plugins.WithParserOptions(ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1}),
		plugins.WithPrometheusRegister(o.Registerer), plugins.Logger(log), plugins.ConsoleLogger(log),
		plugins.WithEnableVersionCheck(false), plugins.WithHooks(hooks.New(m.hook)),
	)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if err := m.check(); err != nil {
		m.Close()
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return m, nil
}

// check lets each plugin parse its part, as it will when it is created. Only Run creates
// the plugins, because a plugin that was never started cannot be stopped.
func (m *Manager) check() error {
	c, services, keys := m.opa.GetConfig(), m.opa.Services(), m.opa.PublicKeys()
	trigger := plugins.DefaultTriggerMode
	_, discoveryErr := discovery.NewConfigBuilder().WithBytes(c.Discovery).WithServices(services).WithKeyConfigs(
		keys).Parse()
	_, bundleErr := bundle.NewConfigBuilder().WithBytes(c.Bundles).WithServices(services).WithKeyConfigs(
		keys).WithTriggerMode(&trigger).Parse()
	_, logsErr := logs.ParseConfig(c.DecisionLogs, services, nil)
	_, statusErr := status.ParseConfig(c.Status, services, nil)
	return errors.Join(discoveryErr, bundleErr, logsErr, statusErr)
}

// Close releases a manager that is not run.
func (m *Manager) Close() {
	m.opa.Stop(context.Background())
}

// Check makes a manager of s and throws it away. It returns the error that [New] would
// return.
func Check(s Settings) error {
	m, err := New(s, Options{OnChange: func(context.Context, Set) error { return nil }})
	if err != nil {
		return err
	}
	m.Close()
	return nil
}

// newID makes a random UUID, by which control planes tell instances apart.
func newID(rand io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", fmt.Errorf("bundle: %w", err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

// Run starts the plugins, passes decisions on, and stops when ctx ends. An error means that
// a plugin did not start.
func (m *Manager) Run(ctx context.Context) error {
	d, err := discovery.New(m.opa, discovery.Hooks(hooks.New(m.hook)), discovery.BootConfig(m.settings.boot),
		discovery.Metrics(metrics.New()))
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	m.opa.Register(discovery.Name, d)
	m.listen()
	if err := m.opa.Start(ctx); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	worker, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { m.hand(worker) })
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			m.listen() // discovery may have made the bundle plugin only now
		}
	}
	m.done.Store(true)
	stop()
	running.Wait()
	m.stop()
	return nil
}

// stop gives decisions that wait for upload some time. If a sink hangs, it is left behind:
// its goroutine ends with its connection.
func (m *Manager) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), m.options.Flush)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		defer cancel()
		m.opa.Stop(ctx)
	}()
	select {
	case <-stopped:
	case <-time.After(m.options.Flush + time.Second):
		m.options.OnLog(Line{Level: "warn",
			Message: "a plugin did not stop in time; decisions that waited for upload are lost"})
	}
}

// listen keeps the status of bundles as the plugin reports it.
func (m *Manager) listen() {
	p := bundle.Lookup(m.opa)
	if p == nil || m.listening == p {
		return
	}
	m.listening = p
	p.RegisterBulkListener(listener("stepward"), func(all map[string]*bundle.Status) {
		m.mu.Lock()
		defer m.mu.Unlock()
		was := m.status
		m.status = map[string]Status{}
		for name, s := range all {
			m.status[name] = statusOf(name, s, was[name])
		}
	})
}

// listener is the type of our key among OPA's listeners.
type listener string

// statusOf returns the status that follows was. A refused answer confirms nothing: the
// active bundle is then no longer what it should be.
func statusOf(name string, s *bundle.Status, was Status) Status {
	out := Status{Name: name, Revision: s.ActiveRevision, Activated: s.LastSuccessfulActivation,
		Confirmed: s.LastSuccessfulRequest, Asked: s.LastRequest, Error: s.Message}
	for _, err := range s.Errors {
		out.Error += "; " + err.Error()
	}
	if out.Error != "" {
		out.Confirmed = was.Confirmed
	}
	return out
}

// names lists the bundles that are configured now.
func (m *Manager) names() []string {
	p := bundle.Lookup(m.opa)
	if p == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(p.Config().Bundles))
}

// Status returns the status of each bundle, in order of name.
func (m *Manager) Status() []Status {
	names := m.names()
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]Status, 0, len(names))
	for _, name := range names {
		s, ok := m.status[name]
		if !ok {
			s = Status{Name: name}
		}
		list = append(list, s)
	}
	return list
}

// Logging reports whether decisions are uploaded now.
func (m *Manager) Logging() bool { return logs.Lookup(m.opa) != nil }

// discovered checks a discovered configuration in the same way as a file. If it refuses
// one, nothing changes.
type discovered struct {
	settings Settings
	id       string
	tell     func(Line)
}

// OnConfigDiscovery implements [hooks.ConfigDiscoveryHook].
func (d *discovered) OnConfigDiscovery(_ context.Context, c *config.Config) (*config.Config, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	keys, _ := d.settings.boot["keys"].(map[string]any)
	check := &checker{file: "discovery", dir: d.settings.dir, insecure: d.settings.insecure}
	check.check(m, keys)
	if len(check.found) > 0 {
		return nil, check.found.Tidy()
	}
	for _, w := range check.warned {
		d.warn(w)
	}
	if text, err = json.Marshal(m); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return config.ParseConfig(text, d.id)
}

// warn reports a member of a discovered configuration that means nothing here. OPA fills
// in two of the members itself.
func (d *discovered) warn(f finding.Finding) {
	if f.Path != "default_decision" && f.Path != "default_authorization_decision" {
		d.tell(Line{Level: "warn", Message: f.Message, Fields: map[string]any{"plugin": "discovery"}})
	}
}
