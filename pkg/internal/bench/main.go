//go:build linux

// Command bench measures what a decision costs, in units of a Check server that does
// nothing.
//
// It starts Stepward and the no-op server as separate processes, drives both in turn with
// the same requests, and compares the processor time that the kernel accounts to each. A
// ratio of two servers in one run means something on any machine; a time means something
// only on the machine where it was taken.
//
//	cases.go    what is asked, and what must come back
//	load.go     the client
//	process.go  the servers, and their processor time and memory
//	report.go   the table and the JSON
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"time"
)

func main() { os.Exit(run()) }

// options holds the values of the command line.
type options struct {
	stepward    string
	json        string
	only        *regexp.Regexp
	rounds      int
	round       time.Duration
	connections int
	inFlight    int
}

func run() int {
	if len(os.Args) == 3 && os.Args[1] == "noop" {
		return serveNoop(os.Args[2])
	}
	var o options
	var only string
	flag.StringVar(&o.stepward, "stepward", "bin/stepward", "binary to measure")
	flag.StringVar(&o.json, "json", "", "write the results to this file, too")
	flag.StringVar(&only, "run", "", "measure only cases whose name matches this regular expression")
	flag.IntVar(&o.rounds, "rounds", 7, "rounds of each case; the median counts")
	flag.DurationVar(&o.round, "round", time.Second, "how long each server is driven in a round")
	flag.IntVar(&o.connections, "connections", 8, "connections of the client")
	flag.IntVar(&o.inFlight, "in-flight", 4, "calls in flight on each connection")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(only); err != nil {
		fmt.Fprintln(os.Stderr, "bench: -run:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	report, err := measure(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	report.print(os.Stdout)
	if o.json != "" {
		if err := report.write(o.json); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			return 1
		}
	}
	if !report.Passed() {
		return 1
	}
	return 0
}

// measure runs every requested case, with one Stepward for each configuration and one no-op
// server for all.
func measure(ctx context.Context, o options) (*report, error) {
	all, err := newCases(o)
	if err != nil {
		return nil, err
	}
	baseline, err := startNoop(ctx)
	if err != nil {
		return nil, err
	}
	defer baseline.stop()
	r := newReport(o)
	for _, group := range all {
		if err := group.measure(ctx, o, baseline, r); err != nil {
			return nil, fmt.Errorf("%s: %w", group.name, err)
		}
	}
	if len(r.Rows) == 0 {
		return nil, errors.New("no case has that name")
	}
	return r, nil
}
