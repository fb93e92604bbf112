package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/run/rehearsal"
)

// Exit codes of every command.
const (
	exitFine     = 0
	exitFound    = 1 // a check that ran found something: a finding, a failed test, an unexpected answer
	exitUsage    = 2 // usage or configuration
	exitInternal = 3
)

// exitError is an error with the code to exit with. An empty text means that the command
// has already shown everything.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// found ends a command that has shown what it found.
func found() error { return exitError{code: exitFound} }

// usage blames an error on what the user wrote.
func usage(err error) error { return exitError{code: exitUsage, err: err} }

// exitCode returns the code to exit with after err.
func exitCode(err error) int {
	var exit exitError
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, &exit):
		return exit.code
	}
	return exitUsage // cobra's own: an unknown command, flags or arguments that do not fit
}

// internalUnless makes the error of a command an internal one, unless the error says whose
// fault it is.
func internalUnless(command func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := command(cmd, args)
		var exit exitError
		var refused *rehearsal.RefusedError
		switch {
		case err == nil || errors.As(err, &exit):
			return err
		case errors.As(err, &refused), errors.Is(err, control.ErrUnreachable), errors.Is(err, control.ErrRefused):
			return usage(err)
		}
		return exitError{code: exitInternal, err: err}
	}
}
