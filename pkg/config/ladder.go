package config

import (
	"fmt"

	"github.com/stepward/stepward/pkg/stepup"
)

// Ladder returns the levels of c, weakest first.
func (c Config) Ladder() (stepup.Ladder, error) {
	levels := make([]stepup.Level, len(c.Levels))
	for i, l := range c.Levels {
		levels[i] = stepup.Level(l)
	}
	return stepup.NewLadder(levels)
}

// Ladders returns the ladders of the issuers that have words of their own, by name.
func (c Config) Ladders() (map[string]stepup.Ladder, error) {
	base, err := c.Ladder()
	if err != nil {
		return nil, err
	}
	ladders := map[string]stepup.Ladder{}
	for _, i := range c.Issuers {
		by := i.Assurance.by()
		if len(i.Levels) == 0 && by == stepup.ByACR {
			continue
		}
		words := map[string]stepup.Level{}
		for name, w := range i.Levels {
			words[name] = stepup.Level{ACR: w.ACR, AMR: w.AMR}
		}
		if ladders[i.Name], err = base.By(by).With(words); err != nil {
			return nil, fmt.Errorf("issuer %s: %w", i.Name, err)
		}
	}
	return ladders, nil
}

// LadderOf returns the ladder in the words of the issuer of that name.
func (c Config) LadderOf(name string) (stepup.Ladder, error) {
	ladders, err := c.Ladders()
	if own, there := ladders[name]; there || err != nil {
		return own, err
	}
	return c.Ladder()
}

// by says which claim proves a level.
func (a Assurance) by() stepup.Assurance {
	if a.Claim == "acr" || a.Claim == "amr" {
		return stepup.Assurance(a.Claim)
	}
	return stepup.ByClaim
}
