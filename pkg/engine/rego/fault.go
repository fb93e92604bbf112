package rego

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// operands matches what OPA says about an operand of a wrong type: it names only types.
var operands = regexp.MustCompile(`^operand [0-9]+ must be [a-z{}, |\[\]]+ but got [a-z]+$`)

// WithoutValues returns the error of an evaluation with only the names and positions in it:
// OPA quotes the arguments of a built-in function, which may be somebody's query, body or
// claim and do not belong in a log.
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
