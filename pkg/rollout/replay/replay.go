// Package replay puts recorded decisions to another policy.
//
// It reads a log as a stream, with as many workers as there are cores, in memory that does
// not grow with its length. Decisions that cannot be compared are counted by reason, never
// guessed.
package replay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/rollout/decisionlog"
	"github.com/stepward/stepward/pkg/rollout/divergence"
)

// Player puts decisions to a policy. All fields but Old and Lines are required.
type Player struct {
	// Judge provides everything except the policy: levels, issuers, who can log in. Its own
	// policy and verifier are not asked.
	Judge *authz.Authorizer
	New   authz.Policy
	// Old, if set, is the policy to compare with, instead of the recorded answers: both
	// then see the same input, masked or not.
	Old   authz.Policy
	Tally *divergence.Tally
}

// maxLine limits a line, in bytes. OPA's logs put an array of many decisions on one line.
const maxLine = 64 << 20

// chunk is about how many bytes of lines a worker takes at a time.
const chunk = 256 << 10

// Play reads a log: a line for each decision, or for an array of them. The error is one
// of reading, or ctx's.
func (p *Player) Play(ctx context.Context, log io.Reader) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	chunks := make(chan []byte)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for c := range chunks {
				p.lines(ctx, c)
			}
		})
	}
	err := p.read(ctx, log, chunks)
	close(chunks)
	workers.Wait()
	return err
}

// read passes on whole lines, many at once.
func (p *Player) read(ctx context.Context, log io.Reader, to chan<- []byte) error {
	lines := bufio.NewReaderSize(log, chunk)
	var gathered []byte
	hand := func() bool {
		select {
		case to <- gathered:
			gathered = nil
			return true
		case <-ctx.Done():
			return false
		}
	}
	for {
		line, err := readLine(lines)
		gathered = append(gathered, line...)
		switch {
		case errors.Is(err, errTooLong):
			p.Tally.Leave("a line is too long", 1)
		case err == io.EOF:
			if len(gathered) > 0 {
				hand()
			}
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("replay: %w", err)
		}
		if len(gathered) >= chunk && !hand() {
			return ctx.Err()
		}
	}
}

var errTooLong = errors.New("replay: a line is too long")

// readLine reads a line with its line feed. It skips the rest of a line that is too long.
func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.ReadSlice('\n')
			}
			if err == nil {
				err = errTooLong
			}
			return nil, err
		}
		line = append(line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && len(line) > 0 && line[len(line)-1] != '\n':
			return append(line, '\n'), err
		}
		return line, err
	}
}

func (p *Player) lines(ctx context.Context, text []byte) {
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		switch {
		case ctx.Err() != nil:
			return
		case len(line) == 0:
		case line[0] == '[':
			p.array(ctx, line)
		default:
			p.one(ctx, line)
		}
	}
}

func (p *Player) array(ctx context.Context, text []byte) {
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil {
		p.Tally.Leave("not JSON", 1)
		return
	}
	for d.More() && ctx.Err() == nil {
		var one json.RawMessage
		if err := d.Decode(&one); err != nil {
			p.Tally.Leave("not JSON", 1)
			return
		}
		p.one(ctx, one)
	}
}

// one compares one decision.
func (p *Player) one(ctx context.Context, text []byte) {
	e, err := decisionlog.Parse(text)
	switch {
	case errors.Is(err, decisionlog.ErrNoInput):
		p.Tally.Leave("no input was recorded (log.input)", 1)
		return
	case errors.Is(err, decisionlog.ErrNotOurs):
		p.Tally.Leave("not a decision", 1)
		return
	case err != nil:
		p.Tally.Leave("broken: not JSON, or not whole", 1)
		return
	}
	q, err := e.Question()
	if err != nil {
		p.Tally.Leave("the input is not one of a policy", 1)
		return
	}
	was := e.Outcome
	if p.Old != nil {
		was = decisionlog.OutcomeOf(p.Judge.Judge(ctx, p.Old, q))
	}
	is := p.Judge.Judge(ctx, p.New, q)
	if ctx.Err() != nil {
		return // a judgement that was cut short says nothing
	}
	c := divergence.Compare(q, was, is)
	c.DecisionID, c.Revision, c.Erased = e.DecisionID, e.Revision, len(e.Erased) > 0
	p.Tally.Add(c)
}
