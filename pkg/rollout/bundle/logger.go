package bundle

import (
	"fmt"
	"maps"

	"github.com/open-policy-agent/opa/v1/logging"
)

// Line is a log line of OPA's plugins.
type Line struct {
	Level   string // debug, info, warn or error
	Message string
	Fields  map[string]any
}

// logger passes OPA's lines on.
type logger struct {
	tell   func(Line)
	fields map[string]any
}

func (l logger) log(level, format string, a []any) {
	l.tell(Line{Level: level, Message: fmt.Sprintf(format, a...), Fields: l.fields})
}

func (l logger) Debug(format string, a ...any) { l.log("debug", format, a) }
func (l logger) Info(format string, a ...any)  { l.log("info", format, a) }
func (l logger) Warn(format string, a ...any)  { l.log("warn", format, a) }
func (l logger) Error(format string, a ...any) { l.log("error", format, a) }

// WithFields implements [logging.Logger].
func (l logger) WithFields(more map[string]any) logging.Logger {
	fields := maps.Clone(l.fields)
	if fields == nil {
		fields = map[string]any{}
	}
	maps.Copy(fields, more)
	return logger{tell: l.tell, fields: fields}
}

// GetLevel implements [logging.Logger]. At level Debug OPA logs its HTTP traffic, with
// headers and bodies.
func (logger) GetLevel() logging.Level { return logging.Info }

// SetLevel implements [logging.Logger].
func (logger) SetLevel(logging.Level) {}
