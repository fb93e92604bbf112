package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/finding/visible"
	"github.com/stepward/stepward/pkg/run/telemetry"
)

// flushLimit limits the time for writing the last lines when the service stops.
const flushLimit = 3 * time.Second

// logging says where events and decisions go.
type logging struct {
	level     zap.AtomicLevel
	fixed     bool // the level was given on the command line
	events    *zap.Logger
	decisions *zap.Logger // nil when they are off
	closers   []func()
}

// newLogging writes events to standard error, and decisions to where c says. Both are JSON,
// one object per line.
func newLogging(ctx context.Context, c config.Log, level string, drop func(sink string)) (*logging, error) {
	l := &logging{level: zap.NewAtomicLevel(), fixed: level != ""}
	if level == "" {
		level = c.Level
	}
	if err := l.level.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	l.events = zap.New(zapcore.NewCore(encoder(), l.sink(os.Stderr, "events", drop), l.level))
	switch c.Decisions {
	case "stdout":
		l.decisions = zap.New(zapcore.NewCore(encoder(), l.sink(os.Stdout, "decisions", drop), l.level))
	case "file":
		file := &lumberjack.Logger{Filename: c.File, MaxSize: int(max(c.MaxSize>>20, 1)), MaxBackups: c.MaxFiles}
		if _, err := file.Write(nil); err != nil { // otherwise nobody would notice until the first decision
			return nil, fmt.Errorf("log.file: %w", err)
		}
		l.closers = append(l.closers, func() { file.Close() })
		l.decisions = zap.New(zapcore.NewCore(encoder(), l.sink(file, "decisions", drop), l.level))
	case "otlp":
		logs, core, err := telemetry.NewLogs(ctx, version())
		if err != nil {
			return nil, err
		}
		l.closers = append(l.closers, func() {
			limited, cancel := context.WithTimeout(context.Background(), flushLimit)
			defer cancel()
			if err := logs.Shutdown(limited); err != nil {
				fmt.Fprintln(os.Stderr, "stepward: the last decisions were not exported:", err)
			}
		})
		l.decisions = zap.New(core)
	}
	return l, nil
}

func encoder() zapcore.Encoder {
	c := zap.NewProductionEncoderConfig()
	c.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	return zapcore.NewJSONEncoder(c)
}

func (l *logging) sink(out io.Writer, name string, drop func(string)) zapcore.WriteSyncer {
	s := telemetry.NewSink(visible.NewWriter(out), func() { drop(name) })
	l.closers = append(l.closers, func() { s.Close(flushLimit) })
	return s
}

// follow adopts the level of a configuration that has taken effect.
func (l *logging) follow(c config.Config) {
	if !l.fixed {
		_ = l.level.UnmarshalText([]byte(c.Log.Level)) // it was checked when it was read
	}
}

// close writes remaining lines, and closes the last opened first.
func (l *logging) close() {
	for i := len(l.closers) - 1; i >= 0; i-- {
		l.closers[i]()
	}
}
