package main

import (
	"errors"
	"strconv"
	"strings"
)

// share is the value of a flag: a part of the decisions, written as "2%" or "0.02". An
// unset share limits nothing.
type share struct {
	set  bool
	part float64
}

func (s *share) String() string {
	if s == nil || !s.set {
		return ""
	}
	return strconv.FormatFloat(100*s.part, 'f', -1, 64) + "%"
}

func (*share) Type() string { return "share" }

func (s *share) Set(text string) error {
	number, percent := strings.CutSuffix(text, "%")
	part, err := strconv.ParseFloat(number, 64)
	if percent {
		part /= 100
	}
	if err != nil || !(part >= 0 && part <= 1) {
		return errors.New("must be a share such as 2% or 0.02")
	}
	s.set, s.part = true, part
	return nil
}
