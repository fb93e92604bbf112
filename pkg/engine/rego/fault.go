package rego

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// operands matches what OPA says of an operand of a wrong type: it names types only.
var operands = regexp.MustCompile(`^operand [0-9]+ must be [a-z{}, |\[\]]+ but got [a-z]+$`)

// WithoutValues returns err of an evaluation with the names and places in it, and without
// the rest: OPA quotes what a built-in function was given, and that is a query, a body or a
// claim of somebody's, which does not belong into a log.
func WithoutValues(err error) error {
	if u, is := errors.AsType[unknownData](err); is {
		return u
	}
	if m, is := errors.AsType[mistypedData](err); is {
		return m
	}
	e, is := errors.AsType[*topdown.Error](err)
	if !is {
		return fmt.Errorf("rego: the evaluation failed (%T)", err)
	}
	text := e.Code
	if name, what, found := strings.Cut(e.Message, ": "); found {
		if _, builtin := ast.BuiltinMap[name]; builtin {
			text += ": " + name
			if operands.MatchString(what) {
				text += ": " + what
			}
		}
	}
	if e.Location != nil {
		text = e.Location.String() + ": " + text
	}
	return errors.New("rego: " + text)
}
